"""Attention to a word, and the control map, over the timesteps of an actual sampling."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spf_core.config.sections import SampleSection
from spf_core.errors import ConfigError
from spf_core.helpers import phrase_attention
from spf_core.interfaces import Backbone, Capture, Conditioning
from spf_core.preparation.encoding import widen
from spf_core.runs.run import OpenRun
from spf_core.sampling.sampler import BeforeHandover, refuse_more_steps, sample_images
from spf_core.utils.pixels import to_images
from spf_core.utils.prompts import Prompt
from spf_lab.attention.control import control_maps, row_of
from spf_lab.attention.types import AttentionMaps, Strip
from spf_lab.attention.words import find_token, singled_out
from spf_lab.evaluation.purity import Floats

COLUMNS = 8


@torch.no_grad()
def attention_maps(
    run: OpenRun, prompt: Prompt, token: str, options: SampleSection, *, seed: int = 0, columns: int = COLUMNS
) -> AttentionMaps:
    """Sample the complete text with the original and the tuned model and look at `columns` of the steps.

    `token` is a word or phrase of the complete text. ConfigError when the text lacks it, or when it lies
    beyond what the text encoder reads.
    """
    span = find_token(prompt, token)
    word = run.backbone.encode_prompts([singled_out(prompt, span)], with_target=False)
    weights_BL = word.phrase_BPL[:, -1]
    if not bool(weights_BL.any()):
        reads = run.backbone.max_tokens
        raise ConfigError(
            f"'{token}' lies beyond the {reads} tokens that the text encoder reads; shorten the prompt"
        )
    look = _Look(run, prompt, weights_BL, span[1] > len(prompt.base_text), options, seed, columns)
    mapped = run.config.control_map
    return AttentionMaps(
        prompt=prompt,
        token=prompt.complete_text[slice(*span)],
        seed=seed,
        timesteps=look.fractions,
        strips={"original": look.strip(tuned=False), "tuned": look.strip(tuned=True)},
        control_map=mapped.name if mapped else None,
    )


def chosen_steps(steps: int, columns: int, before_handover: int) -> list[int]:
    """Steps to show, evenly spread; a quarter come before the handover, which do not read the word."""
    first = before_handover if before_handover < steps else 0
    late = min(columns - columns // 4 if first else columns, steps - first)
    parts = [(0, first - 1, min(first, columns - late)), (first, steps - 1, late)]
    places = np.concatenate([np.linspace(low, high, count) for low, high, count in parts])
    return [int(step) for step in places.round()]


class _Look:
    """Samples once per model, keeps z_t, and goes back to some of the steps."""

    def __init__(
        self,
        run: OpenRun,
        prompt: Prompt,
        weights_BL: Tensor,
        of_target: bool,
        options: SampleSection,
        seed: int,
        columns: int,
    ) -> None:
        self.run, self.prompt, self.options, self.seed = run, prompt, options, seed
        self.weights_BL, self.of_target = weights_BL, of_target
        backbone = run.backbone
        self.tuned = _texts(backbone, prompt)
        with run.adapter.disabled():
            self.original = _texts(backbone, prompt)
        refuse_more_steps(backbone, options)
        timesteps = backbone.noise.sampler(options.steps).timesteps_S.tolist()
        before_handover = sum(self._opens(t) for t in timesteps) if of_target else 0
        self.steps = chosen_steps(len(timesteps), columns, before_handover)
        self.timesteps = [timesteps[step] for step in self.steps]
        self.fractions = tuple(backbone.noise.level_of(t) for t in self.timesteps)

    def strip(self, *, tuned: bool) -> Strip:
        """Sample with one of the models, then look at the chosen steps again."""
        run, texts = self.run, [self.prompt.complete_text]
        before_handover = BeforeHandover([self.prompt.base_text], run.adapter)
        with (
            nullcontext() if tuned else run.adapter.disabled(),
            _kept_states(run.backbone.denoiser) as states,
        ):
            (picture,) = sample_images(
                run.backbone, texts, [self.seed], self.options, before_handover=before_handover
            )
        z_t = [states[step] for step in self.steps]
        seen = [self._seen(z, t, tuned) for z, t in zip(z_t, self.timesteps, strict=True)]
        return Strip(
            picture,
            tuple(estimate for estimate, _ in seen),
            tuple(attention for _, attention in seen),
            self._control(z_t, picture) if tuned else (),
        )

    def _opens(self, t: float) -> bool:
        handover = self.options.handover
        return handover < 1 and t >= self.run.backbone.noise.timestep_at(handover)

    def _seen(self, z_t: Tensor, t: float, tuned: bool) -> tuple[Image.Image, Floats | None]:
        """The picture expected at this step, with guidance, and the word's attention."""
        backbone, opens = self.run.backbone, self._opens(t)
        times = torch.tensor([t], device=z_t.device)
        tunes = tuned and not opens
        complete, base, empty = self.tuned if tunes else self.original
        with nullcontext() if tunes else self.run.adapter.disabled():
            read = backbone.predict(z_t, times, base if opens else complete, Capture(attention=True))
            free = backbone.predict(z_t, times, empty).pred_BCHW
        pred = free + self.options.guidance * (read.pred_BCHW - free)
        (estimate,) = to_images(backbone.decode(backbone.noise.clean(z_t, pred, times)))
        if opens and self.of_target:
            return estimate, None
        size = z_t.shape[-2:]
        grids = {site.name: site.grid(*size) for site in backbone.attention_sites()}
        return estimate, _array(phrase_attention(read.attention, self.weights_BL, grids, size))

    def _control(self, states: Sequence[Tensor], picture: Image.Image) -> tuple[Floats, ...]:
        if self.run.config.control_map is None:
            return ()
        rows = row_of(self.run, picture, self.prompt, self.original, self.options, self.seed)
        return tuple(_array(found) for found in control_maps(self.run, rows, states, self.timesteps))


def _texts(backbone: Backbone, prompt: Prompt) -> tuple[Conditioning, Conditioning, Conditioning]:
    """The complete, the base and the empty text."""
    complete, base = (backbone.encode_prompts([prompt], with_target=target) for target in (True, False))
    empty = backbone.encode_prompts([Prompt("")], with_target=False)
    return complete, base, widen(empty, complete.phrase_BPL.shape[1])


@contextmanager
def _kept_states(denoiser: nn.Module) -> Iterator[list[Tensor]]:
    """Keep z_t of every call of the denoiser; of a batch with its unguided half, the last row."""
    states: list[Tensor] = []

    def keep(_module: nn.Module, inputs: Any) -> None:
        states.append(inputs[0][-1:].detach().float().clone())

    handle = denoiser.register_forward_pre_hook(keep)
    try:
        yield states
    finally:
        handle.remove()


def _array(map_B1HW: Tensor) -> Floats:
    return map_B1HW[0, 0].double().cpu().numpy()
