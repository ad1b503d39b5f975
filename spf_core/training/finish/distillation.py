"""The handover distilled into the weights: sampled plainly, they draw what they drew with a handover.

A handover needs a client that changes weights and text in the middle of sampling, which few do. Here the
handed-over model is the teacher. On the states of its own sampling the student, which reads the complete
text from the first step on, learns what the teacher predicts there: before the handover that is the base
model under the base text, after it the tuned model under the complete text.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from spf_core.config.sections import DistillationSection, SampleSection
from spf_core.errors import NonFiniteError
from spf_core.interfaces import Adapter, Backbone
from spf_core.interfaces.types import Conditioning, choose, index
from spf_core.plugins.answers import named
from spf_core.plugins.configs import OptimizerConfig
from spf_core.preparation.caption_augmentation import recombined
from spf_core.training.optimizers import make_optimizer, make_schedule
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt

DISTILLATION_FILE = "distillation.json"
STAGE = "distilling the handover"
EARLY = 0.5  # of the rows: they are before the handover, where every error has more steps to grow
BASE, EMPTY = 1 / 3, 1 / 6  # of the rows: they read the base text, or none, and are held to the base model


class Distillation(BaseModel):
    """What was distilled, and the mean loss over the first and over the last tenth of the steps."""

    model_config = ConfigDict(frozen=True)

    handover: float
    steps: int
    first_loss: float
    last_loss: float
    seconds: float

    def write(self, run: Path) -> None:
        """Write RUN/distillation.json, for people and for the count of costs."""
        atomic_write_text(run / DISTILLATION_FILE, self.model_dump_json(indent=2))


def read_distillation(run: Path) -> Distillation | None:
    """What RUN/distillation.json says, None where there is none; ValueError when it is damaged."""
    file = run / DISTILLATION_FILE
    return Distillation.model_validate_json(file.read_bytes()) if file.is_file() else None


@dataclass(frozen=True)
class TeacherStates:
    """States of the teacher's sampling, and what is wanted there under the complete, the base and no text."""

    states_NSCHW: Tensor
    wanted_3NSCHW: Tensor
    complete: Conditioning
    base: Conditioning
    empty: Conditioning

    def batch(
        self, size: int, early: int, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Conditioning]:
        """z_t and wanted predictions, B C H W, the number of the sampler step, B, and the texts.

        The share `EARLY` of the rows is before step `early`.
        """
        count, steps = self.states_NSCHW.shape[:2]
        device = self.states_NSCHW.device
        rows = torch.randint(count, (size,), generator=generator)
        before = torch.rand(size, generator=generator) < EARLY
        u = torch.rand(size, generator=generator)
        place = torch.where(before, u * early, early + u * (steps - early)).long()
        v = torch.rand(size, generator=generator)
        rows, place, v = rows.to(device), place.to(device), v.to(device)
        base, empty = v < BASE + EMPTY, v < EMPTY
        complete_texts, base_texts, no_texts = (
            index(text, rows) for text in (self.complete, self.base, self.empty)
        )
        return (
            self.states_NSCHW[rows, place],
            self.wanted_3NSCHW[base.long() + empty.long(), rows, place],
            place,
            choose(empty, no_texts, choose(base, base_texts, complete_texts)),
        )


def distil_handover(
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[Prompt],
    options: DistillationSection,
    optimizer: OptimizerConfig,
    sample: SampleSection,
    accelerator: Any,
    *,
    seed: int,
    progress: Progress = silent,
) -> Distillation:
    """Train the adapter to draw without a handover what it draws with `sample.handover`.

    Every round samples new texts, recombined from the training texts, from new noise. An interrupted
    distillation leaves the adapter as it was. NonFiniteError where the loss is no number.
    """
    started = time.perf_counter()
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    timesteps_S = backbone.noise.sampler(sample.steps).timesteps_S
    early = int((timesteps_S >= backbone.noise.timestep_at(sample.handover)).sum())
    weight_S = _step_weights(backbone, timesteps_S)
    parameters = list(adapter.parameters())
    inner = accelerator.prepare_optimizer(make_optimizer(optimizer, parameters))
    schedule = make_schedule(optimizer, inner, options.steps)
    losses: list[float] = []
    with _restored_on_failure(adapter) as teacher:
        for step in range(options.steps):
            if step % sample.steps == 0:  # by then every state of the round was met about once
                texts = recombined(prompts, options.batch_size, rng)
                with _weights(adapter, teacher), accelerator.autocast():
                    states = _teacher_states(backbone, adapter, texts, sample, early, generator)
            z_t, wanted, place_B, text = states.batch(options.batch_size, early, generator=generator)
            with accelerator.autocast():
                found = backbone.predict(z_t, timesteps_S[place_B], text).pred_BCHW
            loss = (weight_S[place_B] * (found - wanted).float().pow(2).mean((1, 2, 3))).mean()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(parameters, optimizer.clip_norm)
            with named(optimizer, "failed in the step"):
                inner.step()
            schedule.step()
            inner.zero_grad()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise NonFiniteError(
                    f"the loss of {STAGE} is {losses[-1]} at step {step + 1}; set "
                    "optimizer.learning_rate lower, or distillation.enabled to false"
                )
            progress(STAGE, step + 1, options.steps, loss=losses[-1])
    tenth = max(1, options.steps // 10)
    return Distillation(
        handover=sample.handover,
        steps=options.steps,
        first_loss=sum(losses[:tenth]) / tenth,
        last_loss=sum(losses[-tenth:]) / tenth,
        seconds=time.perf_counter() - started,
    )


@torch.no_grad()
def _teacher_states(
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[Prompt],
    sample: SampleSection,
    early: int,
    generator: torch.Generator,
) -> TeacherStates:
    """Sample every prompt once with the handover; the base model predicts before sampler step `early`."""
    sampler = backbone.noise.sampler(sample.steps)
    with adapter.disabled():
        base = backbone.encode_prompts(prompts, with_target=False)
        complete = backbone.encode_prompts(prompts, with_target=True)
        empty = backbone.encode_prompts([Prompt("")] * len(prompts), with_target=False)
    side = backbone.image_size
    shape = (len(prompts), *backbone.latent_shape(side, side))
    z_t = torch.randn(shape, generator=generator).to(backbone.device)
    states, wanted = list[Tensor](), list[Tensor]()
    for place, t in enumerate(sampler.timesteps_S):
        t_B = t.expand(len(z_t))
        with adapter.disabled():
            nothing = backbone.predict(z_t, t_B, empty).pred_BCHW
            begun = backbone.predict(z_t, t_B, base).pred_BCHW
        asked = begun if place < early else backbone.predict(z_t, t_B, complete).pred_BCHW
        states.append(z_t)
        wanted.append(torch.stack([asked, begun, nothing]))
        z_t = sampler.step(nothing + sample.guidance * (asked - nothing), place, z_t)
    return TeacherStates(torch.stack(states, 1), torch.stack(wanted, 2), complete, base, empty)


def _step_weights(backbone: Backbone, timesteps_S: Tensor) -> Tensor:
    """Each sampler step's weight, with mean 1: the size of a change of velocity that changes the noise by 1.

    Early errors count more, as in a sampler, whose first steps are the longest in the clean image.
    """
    size_S = backbone.noise.weight("velocity", timesteps_S).sqrt()
    return size_S / size_S.mean()


@contextmanager
def _weights(adapter: Adapter, state: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the context the adapter has the weights `state`."""
    own = _copied(adapter)
    adapter.load_state_dict(state)
    try:
        yield
    finally:
        adapter.load_state_dict(own)


@contextmanager
def _restored_on_failure(adapter: Adapter) -> Iterator[dict[str, Tensor]]:
    """The adapter's weights, which it has again when the context is left by an exception."""
    before = _copied(adapter)
    try:
        yield before
    except BaseException:  # Ctrl-C as well: the run then saves the weights that it ended training with
        adapter.load_state_dict(before)
        raise


def _copied(adapter: Adapter) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in adapter.state_dict().items()}
