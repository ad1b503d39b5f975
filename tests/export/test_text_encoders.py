"""Tuned text encoders in files for other programs: keys, what diffusers computes, merges, several runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from spf_core.export.architecture import architecture_of
from spf_core.export.check import Verdict, check_file
from spf_core.export.files import run_file
from spf_core.export.run import Request, export
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors
from spf_core.runs.run import OpenRun, open_run
from spf_core.sampling.composition import open_runs
from spf_core.utils.prompts import Prompt

MakeRun = Callable[..., Path]
Numbers = dict[str, Tensor]
PIPELINES: dict[str, Any] = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
PARTS = {"sd15": ["text_encoder"], "sdxl": ["text_encoder", "text_encoder_2"]}
TEXT = "an old man in the park, wearing a hat"
TUNED = ("adapter.rank=4", "adapter.alpha=2", "adapter.text_encoder=true")
OWN_RANK = (
    *TUNED,
    "adapter.text_encoder_rank=2",
    "adapter.text_encoder_targets=[q_proj,k_proj,v_proj,out_proj,mlp.fc1]",
    "optimizer.text_encoder_learning_rate=0.02",
)
both = pytest.mark.parametrize("backbone", list(PIPELINES))
Z_T, T = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([400])


@pytest.fixture
def folders(tiny_folder: Path, tiny_xl_folder: Path) -> dict[str, Path]:
    return {"sd15": tiny_folder, "sdxl": tiny_xl_folder}


@torch.no_grad()
def by_run(opened: OpenRun, strength: float = 1.0) -> Numbers:
    """What the run's encoders make of a text, and what its denoiser then predicts."""
    opened.adapter.scale(strength)
    cond = opened.backbone.encode_prompts([Prompt(TEXT)], with_target=False)
    pred = opened.backbone.predict(Z_T, T, cond).pred_BCHW
    return {"embeds": cond.embeds_BLD, "pooled": cond.pooled_BD, "pred": pred}


@torch.no_grad()
def by_pipeline(pipeline: Any, opened: OpenRun) -> Numbers:
    """The same by diffusers alone; of the run only the sizes are taken."""
    options = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    embeds, _, *rest = pipeline.encode_prompt(TEXT, **options)
    if not rest:
        pred = pipeline.unet(Z_T, T, encoder_hidden_states=embeds).sample
        return {"embeds": embeds, "pooled": embeds.new_zeros(1, 0), "pred": pred}
    pooled = rest[0]
    sizes = opened.backbone.encode_prompts([Prompt(TEXT)], with_target=False).sizes_B6
    more = {"text_embeds": pooled, "time_ids": sizes}
    pred = pipeline.unet(Z_T, T, encoder_hidden_states=embeds, added_cond_kwargs=more).sample
    return {"embeds": embeds, "pooled": pooled, "pred": pred}


def largest_difference(one: Numbers, other: Numbers) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one if one[name].numel())


@both
@pytest.mark.parametrize(
    ("form", "settings"),
    [("kohya", TUNED), ("kohya", OWN_RANK), ("diffusers", OWN_RANK)],
    ids=["kohya", "kohya, own rank", "diffusers, own rank"],
)
def test_diffusers_computes_what_the_run_computes(
    make_run: MakeRun,
    plugins: Plugins,
    folders: dict[str, Path],
    tmp_path: Path,
    backbone: str,
    form: Any,
    settings: tuple[str, ...],
) -> None:
    run = make_run(backbone, *settings)
    out = tmp_path / ("hat.safetensors" if form == "kohya" else "hat")
    export(run, plugins, Request(form, out))
    opened = open_run(run, plugins, device="cpu")
    pipeline = PIPELINES[backbone].from_pretrained(folders[backbone])
    pipeline.load_lora_weights(str(out), adapter_name="spf")
    original, differences = by_run(opened, 0.0), {}
    for strength in (0.0, 0.5, 1.0):
        pipeline.set_adapters("spf", strength)
        ours = by_run(opened, strength)
        differences[strength] = largest_difference(ours, by_pipeline(pipeline, opened))
        for name, tensor in ours.items():
            if strength and tensor.numel():
                assert (tensor - original[name]).abs().max() > 1e-3, f"{name}: the run changes nothing"
    assert differences[0.0] == 0
    assert max(differences.values()) <= 2e-6, differences


@both
def test_a_run_ends_with_kohyas_names_for_text_encoders(make_run: MakeRun, backbone: str) -> None:
    run = make_run(backbone, *OWN_RANK)
    tensors, metadata = read_safetensors(run_file(run))
    prefixes = {"sd15": ("lora_te_",), "sdxl": ("lora_te1_", "lora_te2_")}[backbone]
    for prefix in prefixes:
        name = f"{prefix}text_model_encoder_layers_0_self_attn_q_proj"
        assert len(tensors[f"{name}.lora_down.weight"]) == 2
        assert f"{name.replace('self_attn_q_proj', 'mlp_fc1')}.alpha" in tensors
    assert {key.split("_")[1] for key in tensors} == {"unet", *(prefix.split("_")[1] for prefix in prefixes)}
    assert {float(tensor) for key, tensor in tensors.items() if key.endswith(".alpha")} == {4.0}
    assert metadata["ss_text_encoder_lr"] == "0.02"
    assert metadata["ss_unet_lr"] == "0.05"


def test_the_alpha_of_equal_ranks_is_the_runs_own(make_run: MakeRun) -> None:
    tensors, metadata = read_safetensors(run_file(make_run("sd15", *TUNED)))
    assert {float(tensor) for key, tensor in tensors.items() if key.endswith(".alpha")} == {2.0}
    assert metadata["ss_text_encoder_lr"] == metadata["ss_unet_lr"], "no rate of its own"


@both
def test_the_diffusers_folder_has_settings_for_every_part(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path, backbone: str
) -> None:
    export(make_run(backbone, *OWN_RANK), plugins, Request("diffusers", tmp_path / "hat"))
    tensors, metadata = read_safetensors(tmp_path / "hat" / "pytorch_lora_weights.safetensors")
    written = json.loads(metadata["lora_adapter_metadata"])
    assert written["unet.r"] == 4
    for part in PARTS[backbone]:
        assert f"{part}.text_model.encoder.layers.1.mlp.fc1.lora_A.weight" in tensors
        assert (written[f"{part}.r"], written[f"{part}.lora_alpha"]) == (2, 2), "the scale is folded in"
        assert "encoder.layers.1.mlp.fc1" in written[f"{part}.target_modules"]


def checked(run: Path, plugins: Plugins, file: Path) -> list[Verdict]:
    written = export(run, plugins, Request("kohya", file))
    return check_file(file, architecture_of(written.opened.backbone))


@both
def test_a_check_finds_every_layer(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path, backbone: str
) -> None:
    run = make_run(backbone, *OWN_RANK)
    (first, *_) = checked(run, plugins, tmp_path / "hat.safetensors")
    layers = 4 * 4 * 2 + 2 * 5 * len(PARTS[backbone])
    assert (first.client, first.matched, first.lost, first.wrong) == ("diffusers", layers, (), ())


def test_a_check_tells_that_diffusers_needs_the_output_projection(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path
) -> None:
    """It knows kohya's names of a text encoder's attention by that of `out_proj` alone."""
    run = make_run("sd15", *TUNED, "adapter.text_encoder_targets=[q_proj]")
    (first, *_) = checked(run, plugins, tmp_path / "hat.safetensors")
    assert len(first.lost) == 2
    assert all(name.endswith("q_proj") for name in first.lost)


@pytest.mark.parametrize(
    ("backbone", "strength", "more"),
    [("sd15", 1.0, ()), ("sd15", 0.5, ("adapter.dora=true",)), ("sdxl", 0.5, ())],
    ids=["sd15", "sd15, dora at half strength", "sdxl at half strength"],
)
def test_a_merge_bakes_the_text_encoders_in(
    make_run: MakeRun,
    plugins: Plugins,
    folders: dict[str, Path],
    tmp_path: Path,
    backbone: str,
    strength: float,
    more: tuple[str, ...],
) -> None:
    run, file = make_run(backbone, *TUNED, *more), tmp_path / "all.safetensors"
    for form, out in (("diffusers", tmp_path / "all"), ("checkpoint", file)):
        export(run, plugins, Request(form, out, merge=True, strength=strength))
    opened = open_run(run, plugins, device="cpu")
    folder = PIPELINES[backbone].from_pretrained(tmp_path / "all")
    single = PIPELINES[backbone].from_single_file(
        str(file), config=str(folders[backbone]), local_files_only=True
    )
    ours, original = by_run(opened, strength), by_run(opened, 0.0)
    for part in PARTS[backbone]:
        one, other = (getattr(each, part).state_dict() for each in (folder, single))
        assert all(torch.equal(one[name], other[name]) for name in one)
    for pipeline in (folder, single):
        assert largest_difference(by_pipeline(pipeline, opened), ours) <= 2e-6
        assert largest_difference(by_pipeline(pipeline, opened), original) > 1e-3


def test_runs_side_by_side_tune_the_texts_together(make_run: MakeRun, plugins: Plugins) -> None:
    hat, glasses = make_run("sdxl", *TUNED), make_run("sdxl", *OWN_RANK)
    plain = make_run("sdxl", "adapter.rank=4", "adapter.alpha=2")

    def alone(run: Path, strength: float) -> Numbers:
        return by_run(open_run(run, plugins, device="cpu"), strength)

    def group(runs: list[Path], strengths: list[float]) -> Numbers:
        return by_run(open_runs(runs, strengths, plugins, device="cpu"))

    for strengths, run, own in (((0.8, 0.0), hat, 0.8), ((0.0, 1.0), glasses, 1.0)):
        assert largest_difference(group([hat, glasses], list(strengths)), alone(run, own)) == 0
    assert largest_difference(group([hat, glasses], [0.0, 0.0]), alone(hat, 0.0)) == 0
    first, turned = group([hat, glasses], [0.8, 1.0]), group([glasses, hat], [1.0, 0.8])
    assert largest_difference(first, turned) <= 5e-6
    assert largest_difference(first, alone(hat, 0.8)) > 1e-3
    assert torch.equal(group([plain, hat], [1.0, 0.5])["embeds"], alone(hat, 0.5)["embeds"])
