"""What a component meets in a run, made in a second: a tiny backbone, training data, a step's state."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.noising import noise_latents
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.dual_path.step import run_paths
from spf_core.dual_path.step_sampling import Texts
from spf_core.errors import ConfigError, unknown
from spf_core.interfaces import Adapter, Backbone, StepState
from spf_core.interfaces.types import Batch, Capture
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import Need
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.preparation.encoding import widen
from spf_core.testing.tiny_models import Tiny, tiny_folder
from spf_core.utils.prompts import Prompt

PROMPTS = (
    Prompt("a portrait of a young woman with red hair", "wearing round glasses"),
    Prompt("an old man in the park", "wearing a hat"),
    Prompt("a portrait of an old woman, red hair", "watercolor style"),
    Prompt("a young man with a hat in the park", "wearing glasses"),
)
LEVELS = (0.1, 0.3, 0.5, 0.8)  # of the noise of the rows, low ones for terms that leave out high noise
NEEDS: frozenset[Need] = frozenset(get_args(Need))


@cache
def installed() -> Plugins:
    """All installed plugins, loaded once for each process."""
    return load_plugins()


def tiny_backbone(architecture: Tiny = "sd15") -> Backbone:
    """A tiny random model on the CPU: 32 x 32 pixels, 8 x 8 latents, attention at 8 x 8 and 4 x 4.

    Every call returns a model of its own with the same weights. ConfigError for another architecture than
    sd15, sdxl and sd3.
    """
    folder = str(tiny_folder(architecture))
    backbone: Backbone = built(installed().get(architecture, "backbone")(path=folder))  # type: ignore[call-arg]
    return backbone


def tiny_data(folder: Path) -> Path:
    """Write a training folder of four pictures of noise, 32 x 32, with masks."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0)
    rows = []
    for number in range(4):
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[8:16, 8:24] = 255
        Image.fromarray(pixels.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}-mask.png")
        texts = {"base_text": "a portrait of an old man, red hair", "target_text": "wearing a hat"}
        rows.append({"file_name": f"{number}.png", "mask": f"{number}-mask.png", **texts})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def tiny_config(plugins: Plugins | None = None, architecture: Tiny = "sd15", **overrides: Any) -> RunConfig:
    """The configuration of a short training on a tiny model: five steps, a checkpoint after three.

    It has the preset of runs that name none. `overrides` are sections of the configuration, as in
    `losses={"my-loss": {}}`, laid over it. ConfigError where they do not fit.
    """
    settings: dict[str, Any] = {
        "backbone": {"name": architecture, "path": str(tiny_folder(architecture))},
        "train": {"steps": 5, "batch_size": 2, "accumulation": 1, "precision": "no", "device": "cpu"},
        "sample": {"steps": 3, "every": 0, "precision": "no", "batch_size": 4},
        "checkpoint": {"every": 3},
        "calibration": {"enabled": False},
    }
    settings["train"]["gradient_checkpointing"] = False
    for section, given in overrides.items():
        both = isinstance(given, Mapping) and isinstance(settings.get(section), Mapping)
        settings[section] = {**settings[section], **given} if both and section != "backbone" else given
    return load_run_config(plugins or installed(), overrides=settings)


def tiny_parts(config: RunConfig, backbone: Backbone | None = None) -> Parts:
    """What the run is built of, with the adapter attached and moved away from zero; it draws no noise."""
    backbone = backbone or built(config.backbone)
    adapter: Adapter = built(config.adapter)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attach(config.adapter, adapter, backbone)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter))
    return build_parts(config.step, backbone, adapter)


@dataclass(frozen=True)
class _MeanBrightness:
    """A reward for `make_state`: the brighter, the better."""

    def __call__(self, backbone: Backbone, images_B3HW: Tensor, prompts: Iterable[Prompt]) -> Tensor:
        return images_B3HW.mean((1, 2, 3))


def tiny_batch(backbone: Backbone, *, height: int = 32, width: int = 32) -> Batch:
    """Four rows with everything that a term may need: pictures of noise of this size in pixels."""
    generator = torch.Generator().manual_seed(1)
    pixels = (torch.rand(len(PROMPTS), 3, height, width, generator=generator) * 2 - 1).to(backbone.device)
    prompts = list(PROMPTS)
    complete = backbone.encode_prompts(prompts, with_target=True)
    empty = backbone.encode_prompts([Prompt("", None, ())], with_target=False)
    rows, columns = backbone.latent_shape(height, width)[1:]
    mask_HW = torch.zeros(rows, columns, device=backbone.device)
    mask_HW[rows // 4 : rows // 2, columns // 4 : 3 * columns // 4] = 1
    mask_B1HW = mask_HW.expand(len(prompts), 1, rows, columns)
    with torch.no_grad():
        latents_BCHW = backbone.encode_images(pixels)
        other_BCHW = backbone.encode_images(pixels.flip(0))
        embeds_BD = backbone.embed_images(pixels)
    return Batch(
        ids=tuple("abcd"),
        prompts=PROMPTS,
        latents_BCHW=latents_BCHW,
        rows=torch.arange(len(prompts), device=backbone.device),
        complete=complete,
        base=backbone.encode_prompts(prompts, with_target=False),
        empty=widen(empty, complete.phrase_BPL.shape[1]),
        image_embeds_BD=embeds_BD,
        without_BCHW=other_BCHW,
        region_B1HW=mask_B1HW.clone(),
        target=backbone.encode_prompts(
            [Prompt(each.target_text or "") for each in prompts], with_target=False
        ),
        mask_B1HW=mask_B1HW.clone(),
        class_BCHW=other_BCHW.clone(),
    )


def make_state(
    backbone: Backbone | Tiny = "sd15",
    needs: Iterable[Need] = NEEDS,
    *,
    config: RunConfig | None = None,
    progress: float = 0.5,
    seed: int = 0,
    height: int = 32,
    width: int = 32,
) -> StepState:
    """The state of one training step on four rows, with what `needs` names and nothing else.

    `backbone` is the name of a tiny model, or a loaded model, to which an adapter is then attached. The first
    three rows read their target, the last reads its base text. The rows lie at noise levels 0.1, 0.3, 0.5 and
    0.8. Adapter and reference path are those of `config`, by default of the preset that runs have.
    ConfigError for an unknown need.
    """
    wanted: frozenset[str] = frozenset(needs)
    for need in wanted - NEEDS:
        raise unknown("need", need, NEEDS)
    architecture: Tiny = backbone if isinstance(backbone, str) else "sd15"
    config = config or tiny_config(architecture=architecture)
    if config.reference is None:
        raise ConfigError("the configuration of a test state has no `reference`; name one")
    model = tiny_backbone(architecture) if isinstance(backbone, str) else backbone
    parts = tiny_parts(config.model_copy(update={"losses": {}, "response": None, "reward": None}), model)
    return state_of(parts, wanted, progress=progress, seed=seed, height=height, width=width)


def state_of(
    parts: Parts,
    needs: frozenset[str],
    *,
    progress: float = 0.5,
    seed: int = 0,
    height: int = 32,
    width: int = 32,
) -> StepState:
    """The state of a step of these parts; see `make_state`."""
    generator, backbone = torch.Generator().manual_seed(seed), parts.backbone
    batch = tiny_batch(backbone, height=height, width=width)
    process = backbone.noise
    timesteps_B = torch.cat([process.at(level, 1) for level in LEVELS])
    noised = noise_latents(batch.latents_BCHW, timesteps_B, process, generator=generator)
    everyone = torch.ones(len(LEVELS), dtype=torch.bool)
    reads_target = everyone.clone()
    reads_target[-1] = False
    state = run_paths(
        parts,
        _without(batch, needs),
        noised,
        Texts(reads_target, everyone, ~everyone),
        Capture(attention="attention" in needs, queries="queries" in needs),
        progress,
        reference="reference" in needs,
        mapped=False,
        generator=generator,
    )
    map_B1HW = _region(batch) * state.has_target_B.view(-1, 1, 1, 1) if "map" in needs else None
    return replace(state, map_B1HW=map_B1HW, reward=_MeanBrightness() if "reward" in needs else None)


OF_BATCH: dict[str, tuple[str, ...]] = {
    "clean_image": ("image_embeds_BD",),
    "counterfactuals": ("without_BCHW", "region_B1HW"),
    "target_text": ("target",),
    "masks": ("mask_B1HW",),
    "class_images": ("class_BCHW",),
}  # need -> what a batch then has


def _without(batch: Batch, needs: frozenset[str]) -> Batch:
    """The batch without what nobody needs."""
    absent = [name for need, names in OF_BATCH.items() if need not in needs for name in names]
    nothing: dict[str, Any] = dict.fromkeys(absent)
    return replace(batch, **nothing)


def _region(batch: Batch) -> Tensor:
    assert batch.region_B1HW is not None, "it was made with one"
    return batch.region_B1HW
