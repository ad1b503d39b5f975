"""One training step on the tiny model, for tests of steps, maps and trajectories."""

from pathlib import Path

import torch
from torch import Tensor

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.interfaces import StepState
from spf_core.interfaces.types import Batch
from spf_core.plugins.discovery import load_plugins
from spf_core.preparation.encoding import CachedRows
from spf_core.utils.prompts import Prompt

PROMPTS = [
    Prompt("a portrait of a young woman with red hair", "wearing round glasses"),
    Prompt("an old man in the park", "wearing a hat"),
    Prompt("a portrait of an old woman, red hair", "watercolor style"),
    Prompt("a young man with a hat in the park", "wearing glasses"),
]


MASK = torch.zeros(8, 8)
MASK[2:4, 2:6] = 1


def config_of(folder: Path, *assignments: str, preset: str = "spf-paper") -> RunConfig:
    return load_run_config(
        load_plugins(), preset=preset, assignments=[f"backbone.path={folder}", *assignments]
    )


def parts_of(config: RunConfig, trained: bool = True) -> Parts:
    torch.manual_seed(0)
    backbone, adapter = config.backbone.build(), config.adapter.build()
    adapter.attach(backbone)
    if trained:
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return build_parts(config.step, backbone, adapter)


def batch_of(parts: Parts) -> Batch:
    generator = torch.Generator().manual_seed(1)
    backbone = parts.backbone
    pixels = torch.rand(len(PROMPTS), 3, 32, 32, generator=generator) * 2 - 1
    complete = backbone.encode_prompts(PROMPTS, with_target=True)
    padding = [Prompt("", None, ())] * len(PROMPTS)
    return Batch(
        ids=tuple("abcd"),
        prompts=tuple(PROMPTS),
        latents_BCHW=backbone.encode_images(pixels),
        rows=torch.arange(len(PROMPTS)),
        complete=complete,
        base=backbone.encode_prompts(PROMPTS, with_target=False),
        empty=_like(backbone.encode_prompts(padding[:1], with_target=False), complete),
        image_embeds_BD=backbone.embed_images(pixels).detach(),
        target=backbone.encode_prompts([Prompt(p.target_text) for p in PROMPTS], with_target=False),
        mask_B1HW=MASK.expand(len(PROMPTS), 1, *MASK.shape).clone(),
        class_BCHW=backbone.encode_images(pixels.flip(0)),
        region_B1HW=MASK.expand(len(PROMPTS), 1, *MASK.shape).clone(),
    )


def _like(empty, complete):
    from spf_core.preparation.encoding import widen

    return widen(empty, complete.phrase_BPL.shape[1])


def run(parts: Parts, progress: float = 0.9, seed: int = 0):
    return dual_path_step(parts, batch_of(parts), progress, generator=torch.Generator().manual_seed(seed))


def cached_rows(parts: Parts, *, embedded: bool = False) -> CachedRows:
    """The same rows as before preparation; `embedded`: with CLIP's embeddings of the images."""
    batch = batch_of(parts)
    return CachedRows(
        ids=batch.ids,
        prompts=tuple(PROMPTS),
        latents_NCHW=batch.latents_BCHW,
        complete=batch.complete,
        base=batch.base,
        empty=batch.empty,
        image_embeds_ND=batch.image_embeds_BD if embedded else None,
        images=tuple(range(len(batch.ids))),
    )


def abar_of(state: StepState) -> Tensor:
    """abar_t of the rows of a step on DDPM's noise, B."""
    return state.backbone.noise.abar(state.noised.timesteps_B)
