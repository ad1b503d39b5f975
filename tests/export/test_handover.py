"""The handover in other programs: the card's code draws what the run draws; steps, words and workflow."""

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image

from spf.sampling import tuned_images
from spf_core.config.loading import load_run_config
from spf_core.export.card import write_card
from spf_core.export.companions import webui_card
from spf_core.export.handover.code import PLACE
from spf_core.export.handover.told import run_steps, table, told
from spf_core.export.run import Request, export, run_facts
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors
from spf_core.runs.run import open_run
from spf_core.utils.progress import silent
from spf_core.utils.prompts import Prompt

MakeRun = Callable[..., Path]
SD = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
LATE = ("adapter.rank=4", "adapter.alpha=2", "sample.handover=0.6", "sample.steps=8")
NEGATIVE = ("sample.negative=target", "adapter.text_encoder=true")
WHOLE = ("adapter.name=full-unet", "sample.handover=0.6", "sample.steps=8")


def card_of(run: Path, plugins: Plugins, out: Path, **options: Any) -> str:
    export(run, plugins, Request("diffusers", out, **options))
    return (out / "README.md").read_text(encoding="utf-8")


def code_of(card: str, base: Path, folder: Path) -> str:
    """The code of the section on the handover, with the places a user fills in filled in."""
    (code,) = re.findall(r"```python\n(.*?)```", card.partition("## Handover")[2], re.DOTALL)
    code = re.sub(r'"YOUR COPY OF \w+"', f'"{base}"', code)
    assert PLACE in code
    return code.replace(PLACE, str(folder)).replace("torch.cuda.is_available()", "False")


def drawn_by(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*dtype", category=FutureWarning)
        exec(compile(code, "card", "exec"), names)
    assert (folder / "portrait.png").is_file()
    return names


def by_spf(run: Path, plugins: Plugins, text: Prompt, seed: int, **sample: Any) -> Image:
    opened = open_run(run, plugins, device="cpu")
    options = opened.config.sample.model_copy(update=sample)
    (image,) = tuned_images(opened, [text], [seed], 1.0, options, progress=silent, stage="tuned")
    return image


def difference(one: Image, other: Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@pytest.mark.parametrize(
    "more", [(), ("sample.negative=target", "adapter.text_encoder=true")], ids=["plain", "negative"]
)
@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_the_code_of_a_card_draws_what_the_run_draws(
    make_run: MakeRun,
    plugins: Plugins,
    tiny_folder: Path,
    tiny_xl_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backbone: str,
    more: tuple[str, ...],
) -> None:
    run = make_run(backbone, *LATE, *more)
    card = card_of(run, plugins, tmp_path / "hat")
    base = tiny_xl_folder if backbone == "sdxl" else tiny_folder
    names = drawn_by(code_of(card, base, tmp_path / "hat"), tmp_path, monkeypatch)
    text = Prompt("a portrait of a woman with red hair", "wearing a hat")
    assert difference(names["image"], by_spf(run, plugins, text, 0)) <= 1
    assert difference(names["image"], by_spf(run, plugins, text, 0, handover=1.0)) > 1, "it matters"
    text = Prompt("an old man", "wearing a hat")
    again = names["draw"](text.base_text, text.target_text, 7)
    assert difference(again, by_spf(run, plugins, text, 7)) <= 1, "and does so a second time"


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_code_of_a_whole_model_takes_two_models(
    make_run: MakeRun,
    plugins: Plugins,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """In bf16 too: autocast must not keep the base model's weights past the handover."""
    run = make_run("sd15", *WHOLE, f"sample.precision={precision}")
    card = card_of(run, plugins, tmp_path / "hat")
    names = drawn_by(code_of(card, tiny_folder, tmp_path / "hat"), tmp_path, monkeypatch)
    text = Prompt("a portrait of a woman with red hair", "wearing a hat")
    assert difference(names["image"], by_spf(run, plugins, text, 0)) <= 1
    assert difference(names["draw"](text.base_text, text.target_text, 3), by_spf(run, plugins, text, 3)) <= 1


def test_the_code_loads_16_bits_on_a_gpu_and_draws_nearly_the_same(
    make_run: MakeRun,
    plugins: Plugins,
    tiny_xl_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SDXL in float32 takes 14 GB, more than its training."""
    run = make_run("sdxl", *LATE, "sample.precision=bf16")
    code = code_of(card_of(run, plugins, tmp_path / "hat"), tiny_xl_folder, tmp_path / "hat")
    assert 'dtype = torch.bfloat16 if device == "cuda"' in code
    names = drawn_by(code.replace("else torch.float32", "else torch.bfloat16"), tmp_path, monkeypatch)
    assert names["pipe"].unet.dtype == torch.bfloat16
    text = Prompt("a portrait of a woman with red hair", "wearing a hat")
    assert difference(names["image"], by_spf(run, plugins, text, 0)) <= 16


@pytest.mark.parametrize(
    "settings", [("adapter.rank=4",), ("adapter.name=full-unet",)], ids=["lora", "whole"]
)
def test_the_short_code_of_a_card_loads_16_bits_with_no_argument_that_is_deprecated(
    make_run: MakeRun,
    plugins: Plugins,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, ...],
) -> None:
    card = card_of(make_run("sd15", *settings), plugins, tmp_path / "hat")
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0].replace('"cuda"', '"cpu"')
    code = re.sub(r'"YOUR COPY OF \w+"', f'"{tiny_folder}"', code).replace(PLACE, str(tmp_path / "hat"))
    names = drawn_by(code.rpartition("image =")[0] + "open('portrait.png', 'w')", tmp_path, monkeypatch)
    assert names["pipe"].unet.dtype == torch.float16


def test_the_card_of_a_model_of_the_hub_names_it(make_run: MakeRun, plugins: Plugins, tmp_path: Path) -> None:
    opened, base = (
        open_run(make_run("sdxl", *LATE), plugins, device="cpu"),
        "stabilityai/stable-diffusion-xl-base-1.0",
    )
    config = load_run_config(
        plugins, preset="lora", backbone="sdxl", assignments=[f"backbone.path={base}", "sample.handover=0.6"]
    )
    write_card(tmp_path, opened.path, replace(run_facts(opened), config=config), None, "", lora=None)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"\nbase_model: {base}\n" in card
    assert f'from_pretrained("{base}", add_watermarker=False).to(device, dtype)' in card


def test_a_handover_is_told_as_a_share_of_sampling_and_a_timestep() -> None:
    assert told(0.6, 1000) == "from 40 % of sampling on (t = 600 of 1000)"
    assert told(0.25, 1000) == "from 75 % of sampling on (t = 250 of 1000)"


def rows_of(handover: float) -> dict[str, list[str]]:
    lines = table(SD, 25, handover).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: more for name, *more in cells}


def test_karras_sigmas_reach_the_handover_at_another_step() -> None:
    rows = rows_of(0.6)
    assert rows["sampler"] == ["20 steps", "25 steps", "30 steps", "50 steps"]
    assert rows["DDIM"] == ["after step 8", "after step 10", "after step 11", "after step 20"]
    assert rows["Euler"][0] == "after step 8"
    rows = rows_of(0.25)
    assert rows["Euler"][0] == "after step 15"
    assert rows["Euler, Karras sigmas"][0] == rows["DPM++ 2M, Karras sigmas"][0] == "after step 12"
    assert rows_of(0.98)["DDIM"] == ["from step 1 on"] * 3 + ["after step 1"]
    assert run_steps(SD, 20, 0.6) == 8
    assert run_steps(SD, 20, 0.96) == 0


# comfyanonymous/ComfyUI, nodes.py and comfy_extras/nodes_hooks.py: inputs (a trailing ? is optional), outputs
NODES: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "CheckpointLoaderSimple": ({"ckpt_name": "FILE"}, ("MODEL", "CLIP", "VAE")),
    "CreateHookLora": (
        {"lora_name": "FILE", "strength_model": "FLOAT", "strength_clip": "FLOAT", "prev_hooks?": "HOOKS"},
        ("HOOKS",),
    ),
    "CreateHookKeyframe": (
        {"strength_mult": "FLOAT", "start_percent": "FLOAT", "prev_hook_kf?": "HOOK_KEYFRAMES"},
        ("HOOK_KEYFRAMES",),
    ),
    "SetHookKeyframes": ({"hooks": "HOOKS", "hook_kf?": "HOOK_KEYFRAMES"}, ("HOOKS",)),
    "SetClipHooks": (
        {"clip": "CLIP", "apply_to_conds": "BOOLEAN", "schedule_clip": "BOOLEAN", "hooks?": "HOOKS"},
        ("CLIP",),
    ),
    "CLIPTextEncode": ({"text": "STRING", "clip": "CLIP"}, ("CONDITIONING",)),
    "ConditioningZeroOut": ({"conditioning": "CONDITIONING"}, ("CONDITIONING",)),
    "ConditioningSetTimestepRange": (
        {"conditioning": "CONDITIONING", "start": "FLOAT", "end": "FLOAT"},
        ("CONDITIONING",),
    ),
    "ConditioningCombine": (
        {"conditioning_1": "CONDITIONING", "conditioning_2": "CONDITIONING"},
        ("CONDITIONING",),
    ),
    "EmptyLatentImage": ({"width": "INT", "height": "INT", "batch_size": "INT"}, ("LATENT",)),
    "KSampler": (
        {
            "model": "MODEL",
            "seed": "INT",
            "steps": "INT",
            "cfg": "FLOAT",
            "sampler_name": "CHOICE",
            "scheduler": "CHOICE",
            "positive": "CONDITIONING",
            "negative": "CONDITIONING",
            "latent_image": "LATENT",
            "denoise": "FLOAT",
        },
        ("LATENT",),
    ),
    "VAEDecode": ({"samples": "LATENT", "vae": "VAE"}, ("IMAGE",)),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": "STRING"}, ()),
}
PLAIN = {"FILE": str, "CHOICE": str, "STRING": str, "INT": int, "FLOAT": (int, float), "BOOLEAN": bool}


def faults(nodes: dict[str, Any]) -> list[str]:
    """What ComfyUI would not take: unknown nodes, absent or surplus inputs, links of another type."""
    found = []
    for key, node in nodes.items():
        inputs, _ = NODES[node["class_type"]]
        needed = {name for name in inputs if not name.endswith("?")}
        types = {name.rstrip("?"): kind for name, kind in inputs.items()}
        found += [f"{key} lacks {name}" for name in needed - node["inputs"].keys()]
        for name, value in node["inputs"].items():
            if name not in types:
                found.append(f"{key} has no {name}")
            elif types[name] in PLAIN:
                if not isinstance(value, PLAIN[types[name]]):
                    found.append(f"{key}.{name} is {value}")
            elif NODES[nodes[value[0]]["class_type"]][1][value[1]] != types[name]:
                found.append(f"{key}.{name} gets another type")
    return found


def upstream(nodes: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A node and everything it depends on."""
    links = [value[0] for value in nodes[key]["inputs"].values() if isinstance(value, list)]
    return [nodes[key], *(each for link in links for each in upstream(nodes, link))]


@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_the_workflow_is_one_that_comfyui_takes(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path, backbone: str
) -> None:
    run = make_run(backbone, *LATE, *NEGATIVE)
    export(run, plugins, Request("kohya", tmp_path / "red hat.safetensors"))
    nodes = json.loads((tmp_path / "red hat.workflow.json").read_text(encoding="utf-8"))
    assert faults(nodes) == []
    (sampler,) = [node for node in nodes.values() if node["class_type"] == "KSampler"]
    assert sampler["inputs"]["steps"] == 8
    for sign in ("positive", "negative"):
        joined = nodes[sampler["inputs"][sign][0]]["inputs"]
        base, complete = (upstream(nodes, joined[f"conditioning_{i}"][0]) for i in (1, 2))
        assert (base[0]["inputs"]["start"], base[0]["inputs"]["end"]) == (0.0, 0.4)
        assert (complete[0]["inputs"]["start"], complete[0]["inputs"]["end"]) == (0.4, 1.0)
        kinds = [{node["class_type"] for node in part} for part in (base, complete)]
        assert "CreateHookLora" not in kinds[0]
        assert "CreateHookLora" in kinds[1]
        assert ("ConditioningZeroOut" in kinds[0]) == (backbone == "sdxl" and sign == "negative")
        said = [node["inputs"]["text"] for node in complete if node["class_type"] == "CLIPTextEncode"]
        assert all("wearing a hat" in text for text in said)
    (lora,) = [node for node in nodes.values() if node["class_type"] == "CreateHookLora"]
    assert lora["inputs"]["lora_name"] == "red hat.safetensors"
    frames = [node["inputs"] for node in nodes.values() if node["class_type"] == "CreateHookKeyframe"]
    assert [(each["start_percent"], each["strength_mult"]) for each in frames] == [(0.0, 0.0), (0.4, 1.0)]


def test_a_run_without_a_handover_has_no_workflow(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path
) -> None:
    run = make_run("sd15", "adapter.rank=4", "adapter.alpha=2")
    export(run, plugins, Request("kohya", tmp_path / "hat.safetensors"))
    assert {file.name for file in tmp_path.iterdir()} == {"hat.safetensors", "hat.json"}
    assert "## Handover" not in card_of(run, plugins, tmp_path / "hat")


def test_what_a1111_reads_beside_the_file(make_run: MakeRun, plugins: Plugins, tmp_path: Path) -> None:
    """Several targets are all in the activation text; the alias is the file's name."""
    run = make_run("sdxl", *LATE)
    out = tmp_path / "red hat.safetensors"
    export(run, plugins, Request("kohya", out))
    said = json.loads((tmp_path / "red hat.json").read_text(encoding="utf-8"))
    assert said["activation text"] == "wearing a hat"
    assert (said["sd version"], said["preferred weight"]) == ("SDXL", 1.0)
    assert "from 40 % of sampling on (t = 600 of 1000)" in said["description"]
    metadata = read_safetensors(out)[1]
    assert metadata["ss_output_name"] == "red hat"
    assert json.loads(metadata["ss_network_args"]) == {}
    opened = open_run(run, plugins, device="cpu")
    facts = run_facts(opened)
    two = {**facts.metadata, "spf_targets": '["wearing a hat", "wearing round glasses"]'}
    said = webui_card(replace(facts, metadata=two))
    assert said["activation text"] == "wearing a hat, wearing round glasses"
    assert "Keep of the texts" in str(said["description"])
