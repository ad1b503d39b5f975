"""Runs that tuned text encoders, in other programs' files: keys, what diffusers computes, merges, several at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from spf_core.checkpoint import read_safetensors
from spf_core.composition import open_runs
from spf_core.export.check import check_file
from spf_core.export.architecture import architecture_of
from spf_core.export.files import run_file
from spf_core.export.run import Request, export
from spf_core.plugins import Plugins
from spf_core.prompts import Prompt
from spf_core.runs import OpenRun, open_run

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
    pipeline.unet.set_attn_processor(AttnProcessor())  # as the backbone has it on a CPU
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
@pytest.mark.parametrize("form", ["kohya", "diffusers"])
@pytest.mark.parametrize("settings", [TUNED, OWN_RANK], ids=["one rank", "own rank"])
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
    print(backbone, form, settings[-1], differences)
    assert differences[0.0] == 0
    assert max(differences.values()) <= 2e-6, differences
