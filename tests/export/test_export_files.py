"""What is exported, opened by diffusers itself: it computes what the run computes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from spf_core.config.loading import load_run_config
from spf_core.errors import ConfigError, RunError
from spf_core.export.facts import Facts
from spf_core.export.files import run_file
from spf_core.export.prediction import Prediction
from spf_core.export.run import FinishedRun, Request, export
from spf_core.interfaces.exporting import Exporter
from spf_core.plugins.configs import ExporterConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.checkpoint import read_safetensors
from spf_core.runs.run import OpenRun, open_run
from spf_core.utils.prompts import Prompt

MakeRun = Callable[..., Path]
HALF = ("adapter.rank=4", "adapter.alpha=2")  # a scale that a reader has to know
ADALORA = ("adapter.name=adalora-adapter", "adapter.init_rank=6", "adapter.target_rank=3")
PIPELINES: dict[str, Any] = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
both = pytest.mark.parametrize("backbone", ["sd15", "sdxl"])


@pytest.fixture
def folders(tiny_folder: Path, tiny_xl_folder: Path) -> dict[str, Path]:
    return {"sd15": tiny_folder, "sdxl": tiny_xl_folder}


def inputs_of(opened: OpenRun) -> tuple[Tensor, Tensor, Any]:
    cond = opened.backbone.encode_prompts([Prompt("an old man", "wearing a hat")], with_target=True)
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([400]), cond


@torch.no_grad()
def by_run(opened: OpenRun, strength: float = 1.0) -> Tensor:
    opened.adapter.scale(strength)
    return opened.backbone.predict(*inputs_of(opened)).pred_BCHW


@torch.no_grad()
def by_pipeline(pipeline: Any, opened: OpenRun) -> Tensor:
    z_t, t, cond = inputs_of(opened)
    more = {}
    if cond.pooled_BD.shape[1]:
        more = {"added_cond_kwargs": {"text_embeds": cond.pooled_BD, "time_ids": cond.sizes_B6}}
    return pipeline.unet(z_t, t, encoder_hidden_states=cond.embeds_BLD, **more).sample


def with_lora(backbone: str, folder: Path, lora: Path, **options: Any) -> Any:
    pipeline = PIPELINES[backbone].from_pretrained(folder)
    pipeline.load_lora_weights(str(lora), adapter_name="spf", **options)
    return pipeline


@both
@pytest.mark.parametrize("form", ["kohya", "diffusers"])
@pytest.mark.parametrize("more", [HALF, ADALORA], ids=["lora", "adalora"])
def test_a_lora_loaded_by_diffusers_computes_what_the_run_computes(
    make_run: MakeRun,
    plugins: Plugins,
    folders: dict[str, Path],
    tmp_path: Path,
    backbone: str,
    form: Any,
    more: tuple[str, ...],
) -> None:
    run = make_run(backbone, *more, steps=8 if more == ADALORA else 2)
    out = tmp_path / ("hat.safetensors" if form == "kohya" else "hat")
    export(run, plugins, Request(form, out))
    opened = open_run(run, plugins, device="cpu")
    pipeline = with_lora(backbone, folders[backbone], out)
    differences, original = {}, by_run(opened, 0.0)
    for strength in (0.0, 0.5, 1.0):
        pipeline.set_adapters("spf", strength)
        ours = by_run(opened, strength)
        differences[strength] = (by_pipeline(pipeline, opened) - ours).abs().max().item()
        if strength:
            assert (ours - original).abs().max() > 1e-3, "a run that changes nothing proves nothing"
    assert differences[0.0] == 0
    assert max(differences.values()) <= (0 if more == HALF else 2e-6), differences


@both
def test_a_run_ends_with_a_file_in_kohyas_keys(make_run: MakeRun, backbone: str) -> None:
    run = make_run(backbone, *HALF)
    assert run_file(run).name == "hat.safetensors"
    tensors, metadata = read_safetensors(run_file(run))
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    assert tensors[f"{name}.lora_down.weight"].shape == (4, 32 if backbone == "sd15" else 80)
    assert tensors[f"{name}.lora_up.weight"].shape == (16, 4)
    assert {float(tensor) for key, tensor in tensors.items() if key.endswith(".alpha")} == {2.0}
    assert all(key.startswith("lora_unet_") for key in tensors)
    family = {"sd15": "sd_v1", "sdxl": "sdxl_base_v1-0"}[backbone]
    spec = {"sd15": "stable-diffusion-v1/lora", "sdxl": "stable-diffusion-xl-v1-base/lora"}[backbone]
    expected = {
        "ss_base_model_version": family,
        "ss_network_dim": "4",
        "ss_network_alpha": "2",
        "ss_output_name": "hat",
        "modelspec.architecture": spec,
        "modelspec.resolution": "32x32",
        "modelspec.trigger_phrase": "wearing a hat",
        "modelspec.prediction_type": "epsilon",
        "spf_handover": "1",
        "spf_step": "2",
    }
    assert expected.items() <= metadata.items()
    assert json.loads(metadata["ss_tag_frequency"]) == {"target": {"wearing a hat": 1}}
    assert metadata["modelspec.hash_sha256"] == "0x" + metadata["sshs_model_hash"]


def test_no_file_names_a_place_on_this_machine(
    make_run: MakeRun, plugins: Plugins, folders: dict[str, Path], tmp_path: Path
) -> None:
    run = make_run("sd15", *HALF)
    export(run, plugins, Request("diffusers", tmp_path / "hat"))
    export(run, plugins, Request("checkpoint", tmp_path / "all.safetensors", merge=True))
    files = [run_file(run), tmp_path / "all.safetensors", *(tmp_path / "hat").iterdir()]
    for file in files:
        data = file.read_bytes()
        for place in (str(folders["sd15"]), str(run.parent), "/tmp/", "/home/", "/root/"):
            assert place.encode() not in data, (file, place)


def test_a_run_called_adapter_keeps_its_own_weights(make_run: MakeRun, plugins: Plugins) -> None:
    run = make_run("sd15", *HALF, name="adapter")
    assert run_file(run).name == "adapter-lora.safetensors"
    assert run_file(run).is_file()
    open_run(run, plugins, device="cpu")


def test_diffusers_reads_rank_and_alpha_from_the_metadata(
    make_run: MakeRun, plugins: Plugins, folders: dict[str, Path], tmp_path: Path
) -> None:
    export(make_run("sd15", *HALF), plugins, Request("diffusers", tmp_path / "hat"))
    config = with_lora("sd15", folders["sd15"], tmp_path / "hat").unet.peft_config["spf"]
    assert (config.r, config.lora_alpha) == (4, 4), "the scale is folded into the weights"
    _, metadata = read_safetensors(tmp_path / "hat" / "pytorch_lora_weights.safetensors")
    written = json.loads(metadata["lora_adapter_metadata"])
    assert written["unet.lora_alpha"] == 4
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q" in written["unet.target_modules"]


def test_half_precision_halves_the_file(make_run: MakeRun, plugins: Plugins, tmp_path: Path) -> None:
    run = make_run("sd15", *HALF)
    export(run, plugins, Request("kohya", tmp_path / "half.safetensors", precision="fp16"))
    tensors, _ = read_safetensors(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    full, _ = read_safetensors(run_file(run))
    for name, tensor in full.items():
        torch.testing.assert_close(tensors[name].float(), tensor, rtol=1e-3, atol=1e-6)


WHOLE = {
    "merged lora": (*HALF,),
    "merged adalora": ADALORA,
    "cross-attention": ("adapter=cross-attention", "optimizer.learning_rate=0.002"),
    "full-unet": ("adapter=full-unet", "optimizer.learning_rate=0.0005"),
}


@both
@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_model_reopens_as_folder_and_as_single_file(
    make_run: MakeRun,
    plugins: Plugins,
    folders: dict[str, Path],
    tmp_path: Path,
    backbone: str,
    kind: str,
) -> None:
    run = make_run(backbone, *WHOLE[kind], steps=8 if "adalora" in kind else 2)
    merge = kind.startswith("merged")
    export(run, plugins, Request("diffusers", tmp_path / "all", merge=merge))
    export(run, plugins, Request("checkpoint", tmp_path / "all.safetensors", merge=merge))
    opened = open_run(run, plugins, device="cpu")
    ours, original = by_run(opened), by_run(opened, 0.0)
    assert (ours - original).abs().max() > 1e-3
    folder = PIPELINES[backbone].from_pretrained(tmp_path / "all")
    single = PIPELINES[backbone].from_single_file(
        str(tmp_path / "all.safetensors"), config=str(folders[backbone]), local_files_only=True
    )
    for pipeline in (folder, single):
        torch.testing.assert_close(by_pipeline(pipeline, opened), ours, rtol=0, atol=2e-6)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if hasattr(folder, part):
            first, second = (getattr(each, part).state_dict() for each in (folder, single))
            assert first.keys() == second.keys()
            assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_merge_takes_the_strength_that_is_asked_for(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path
) -> None:
    run = make_run("sd15", *HALF)
    export(run, plugins, Request("diffusers", tmp_path / "all", merge=True, strength=0.5))
    opened = open_run(run, plugins, device="cpu")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "all")
    torch.testing.assert_close(by_pipeline(pipeline, opened), by_run(opened, 0.5), rtol=0, atol=2e-6)


def test_dora_is_merged_and_otherwise_refused(make_run: MakeRun, plugins: Plugins, tmp_path: Path) -> None:
    run = make_run("sd15", *HALF, "adapter.dora=true", name="dora")
    assert not run_file(run).exists(), "the run ends well all the same"
    with pytest.raises(RunError, match=r"DoRA also rescales every weight.*--merge"):
        export(run, plugins, Request("kohya", tmp_path / "no.safetensors"))
    opened = open_run(run, plugins, device="cpu")
    for strength in (0.5, 1.0):
        out = tmp_path / f"all-{strength}"
        export(run, plugins, Request("diffusers", out, merge=True, strength=strength))
        merged = by_pipeline(StableDiffusionPipeline.from_pretrained(out), opened)
        torch.testing.assert_close(merged, by_run(opened, strength), rtol=0, atol=5e-6)


def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path
) -> None:
    lora, full = make_run("sd15", *HALF), make_run("sd15", *WHOLE["full-unet"])
    out = tmp_path / "out"
    for run, request, words in (
        (full, Request("kohya", out), "trained whole weights"),
        (lora, Request("checkpoint", out), "add --merge"),
        (lora, Request("kohya", out, merge=True), "--merge gives whole weights"),
        (lora, Request("kohya", out, strength=0.5), "--strength counts with --merge"),
    ):
        with pytest.raises((RunError, ConfigError), match=words):
            export(run, plugins, request)
    assert not out.exists()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("spf_targets", "x"),
        ("spf_targets", "{}"),
        ("spf_targets", "[1]"),
        ("spf_targets", "[" * 100_000),
        ("spf_strength", "x"),
        ("spf_strength", "NaN"),
        ("spf_strength", "-1"),
        ("spf_strength", "9" * 5000),
    ],
    ids=range(8),
)
def test_metadata_that_spf_never_writes_is_named(key: str, said: str) -> None:
    config = load_run_config(load_plugins())
    facts = Facts("hat", "sd_v1", config, {key: said}, 64, Prediction(), datetime.now(UTC))
    with pytest.raises(RunError, match=f"the weights of 'hat' name {key}=") as refusal:
        print(facts.targets, facts.strength)
    assert len(str(refusal.value)) < 300


class Shopping(ExporterConfig):
    """What to buy for the look of a run."""

    name = "shopping-list"
    holds = frozenset({"lora"})

    def build(self) -> Exporter:
        def write(run: FinishedRun) -> None:
            run.request.out.write_text("\n".join(run.facts.targets), encoding="utf-8")

        return write


def test_a_plugin_brings_a_format_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    plugins = load_plugins()
    plugins.add(Shopping, "my-package", "1.2")
    run, out = make_run("sd15"), tmp_path / "list.txt"
    export(run, plugins, Request("shopping-list", out))
    assert out.read_text(encoding="utf-8") == "wearing a hat"
    with pytest.raises(ConfigError, match=r"no exporter named 'shoping-list'\. Did you mean 'shopping-list'"):
        export(run, plugins, Request("shoping-list", out))
