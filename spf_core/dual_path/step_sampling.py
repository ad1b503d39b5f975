"""What chance decides in a step: texts, noise, timesteps, and which rows come from where."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spf_core.config.sections import TrainSection
from spf_core.dual_path.noising import noise_latents, partly_with_target, replace_states
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.texts import text_of
from spf_core.interfaces.types import Batch, Conditioning, Noised, choose, scatter_like
from spf_core.utils.prompts import Prompt


@dataclass(frozen=True)
class ReadTexts:
    """What each row of the response path (`complete`) and of the reference path (`base`) reads, encoded.

    `complete` holds the complete text only where `target_B` is true, else what `base` holds.
    """

    complete: Conditioning
    base: Conditioning
    target_B: Tensor
    dropped_B: Tensor


@dataclass(frozen=True)
class Texts:
    """What the rows of a step read, B bools each, on the CPU.

    Rows whose caption is `dropped` read the empty text and learn their image all the same; other rows read
    their target, or the base text, or, where there is no text, the empty one, and are held to the original.
    """

    target_B: Tensor
    reads_text_B: Tensor
    dropped_B: Tensor

    @classmethod
    def complete(cls, size: int) -> "Texts":
        """Every row reads its target."""
        everyone = torch.ones(size, dtype=torch.bool)
        return cls(everyone, everyone, ~everyone)

    def read(self, batch: Batch) -> "ReadTexts":
        """The encoded texts of both paths, on the batch's device."""
        device = batch.latents_BCHW.device
        target_B, dropped_B = self.target_B.to(device), self.dropped_B.to(device)
        base = choose(self.reads_text_B.to(device), batch.base, batch.empty_rows)
        return ReadTexts(choose(target_B, batch.complete, base), base, target_B, dropped_B)

    def words(self, prompts: Sequence[Prompt]) -> list[str]:
        """The text that each row of the response path reads."""
        rows = zip(prompts, self.target_B.tolist(), self.reads_text_B.tolist(), strict=True)
        return [
            text_of(prompt, "complete" if target else "base" if some else "empty")
            for prompt, target, some in rows
        ]


def draw_texts(size: int, train: TrainSection, has_reference: bool, generator: torch.Generator) -> Texts:
    """Draw what each row reads; without a reference no row reads the base text."""
    u_B = torch.rand(size, generator=generator)
    texts = Texts.complete(size)
    if has_reference:
        target_B = u_B >= train.base_share + train.empty_share
        texts = Texts(target_B, u_B >= train.empty_share, texts.dropped_B)
    if not train.caption_dropout:
        return texts
    dropped_B = texts.target_B & (torch.rand(size, generator=generator) < train.caption_dropout)
    return Texts(texts.target_B & ~dropped_B, texts.reads_text_B & ~dropped_B, dropped_B)


def draw_states(
    parts: Parts,
    batch: Batch,
    texts: Texts,
    has_reference: bool,
    generator: torch.Generator,
) -> Noised:
    """Noise the training images; under alignment, some rows continue the original model's sampling."""
    train, process, size = parts.train, parts.backbone.noise, len(batch.ids)
    timesteps = process.draw_timesteps(size, train.min_timestep, train.max_timestep, generator=generator)
    clean, seen = batch.latents_BCHW, _seen(parts, batch, timesteps, generator)
    if train.preserve_on == "own" and batch.class_BCHW is not None:
        images_B = scatter_like((texts.target_B | texts.dropped_B).to(clean.device), clean).bool()
        clean = torch.where(images_B, clean, batch.class_BCHW)
        seen = None if seen is None else torch.where(images_B, seen, batch.class_BCHW)
    noised = noise_latents(
        clean, timesteps, process, generator=generator, source_BCHW=seen, offset=train.noise_offset
    )
    if parts.states is None or not has_reference:
        return noised
    from_noise = (torch.rand(size, generator=generator) < train.noise_share).to(noised.timesteps_B.device)
    drawn = parts.states.draw(batch.rows, generator=generator)
    own = replace_states(noised, from_noise, drawn.states_BCHW, drawn.timesteps_B)
    return replace(own, reference=drawn.output)


def _seen(parts: Parts, batch: Batch, timesteps_B: Tensor, generator: torch.Generator) -> Tensor | None:
    """What is noised: with counterfactuals, pictures that in some rows still lack some of the target."""
    if batch.without_BCHW is None:
        return None
    return partly_with_target(
        batch.latents_BCHW,
        batch.without_BCHW,
        timesteps_B,
        parts.backbone.noise,
        parts.between,
        generator=generator,
    )
