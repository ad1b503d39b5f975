"""Sections of the run configuration. Torch-free."""

import math
from typing import Literal

from pydantic import Field, SerializeAsAny, model_validator

from spf_core.plugins.configs import TrackerConfig
from spf_core.utils.paths import UserPath
from spf_core.utils.validation import MANY, Strict, Text


class Section(Strict):
    """A part of the run configuration."""


COLUMNS = ("image", "mask", "caption", "base_text", "target_text")


class DatasetSection(Section):
    """How spf reads the training data, and what it uses of its images."""

    trigger: Text | None = Field(
        None, description="Words of the target in captions. Without them, the caption is the base text."
    )
    columns: dict[str, str] = Field(
        {}, description="Names of columns that differ from the usual ones, as in caption=prompt."
    )
    split: str = Field("train", description="Split of a Hugging Face dataset.")
    subset: str | None = Field(None, description="Configuration of a Hugging Face dataset that has several.")
    revision: str | None = Field(None, description="Branch, tag or commit of a dataset on the hub.")
    masks: str = Field(
        "masks", description="Sub-folder that holds a mask for each image, under the same name."
    )
    crop: Literal["center", "random"] = Field("center", description="Where images are cropped.")
    flip: bool = Field(False, description="Mirror half of the rows, left to right.")
    views: int = Field(
        1,
        ge=1,
        le=MANY,
        description="Number of rows to make of each row. Each has its own crop and mirroring.",
    )
    buckets: bool = Field(
        False,
        description="Keep about the shape of each image. The images of a batch share a shape, and "
        "all have about the model's area.",
    )
    cache: bool = Field(
        False, description="Keep latents and text embeddings on disk, so that other runs reuse them."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetSection":
        for name in self.columns:
            if name not in COLUMNS:
                raise ValueError(f"columns: '{name}' is none of {', '.join(COLUMNS)}")
        if self.views > 1 and self.crop == "center" and not self.flip:
            raise ValueError(
                f"all views={self.views} would be the same; set crop to random or flip to true, or views to 1"
            )
        if self.trigger is not None and not self.trigger.strip():
            raise ValueError("trigger is empty; name the words of the target, or leave it out")
        return self


class TrainSection(Section):
    """Length, batch and schedule of training."""

    steps: int = Field(
        600,
        ge=0,
        description="Number of optimizer steps. With 0, the run trains nothing and keeps the base model.",
    )
    extended_from: int | None = Field(
        None,
        ge=1,
        description="Number of steps before an extension. Warm-up, start and stop are fractions of it.",
    )
    batch_size: int = Field(8, ge=1, le=MANY, description="Number of rows per step and device.")
    accumulation: int = Field(1, ge=1, description="Number of forward passes per optimizer step.")
    seed: int = Field(
        0, ge=0, description="Seed of the data order, the noise and the adapter's initial weights."
    )
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="Mixed precision, by Accelerate.")
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations twice instead of keeping them. This needs less "
        "memory and more time.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="The device to train on.")
    start_from: UserPath | None = Field(
        None,
        description="A finished run whose weights training starts from. The reference path "
        "stays the base model.",
    )
    base_share: float = Field(
        0.0, ge=0, lt=1, description="Share of rows whose response path reads the base text. M = 0 there."
    )
    empty_share: float = Field(
        0.0, ge=0, lt=1, description="Share of rows where both paths read the empty text. M = 0 there."
    )
    preserve_on: Literal["data", "own"] = Field(
        "data",
        description="Which images rows without a target text are noised from. `data`: the training "
        "images. `own`: images that the base model generates from their base texts, "
        "which lack what the training images share.",
    )
    noise_share: float = Field(
        0.0, ge=0, le=1, description="Share of rows whose z_t is a state of the base model's own sampling."
    )
    text_variants: int = Field(
        1,
        ge=1,
        le=MANY,
        description="Number of texts per image. One is the text as written; the others leave out "
        "clauses at random.",
    )
    clause_dropout: float = Field(
        0.4,
        ge=0,
        lt=1,
        description="Probability that a further text leaves out a clause. The first clause always stays.",
    )
    drawn_texts: int | None = Field(
        None,
        ge=1,
        le=MANY,
        description="Number of texts per image for which the base model draws before training. Further "
        "texts share what was drawn for these. By default, spf train chooses as many as take at most an "
        "hour, and saves the number in the run.",
    )
    drawing_steps: int | None = Field(
        None,
        ge=1,
        description="Number of sampler steps of what the base model draws before training. By default, and "
        "at most, sample.steps.",
    )
    caption_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Among the rows that read their target, the share that reads no text instead. "
        "They train on their images, and no alignment applies to them.",
    )
    release: tuple[str, ...] = Field(
        (),
        description="Words of base phrases that are free to change. Alignment skips these "
        "phrases, and the map includes them.",
    )
    noise_offset: float = Field(
        0.0,
        ge=0,
        description="Size of the noise that each channel receives as a whole. Usual values are 0.05 to 0.1.",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of a moving average of the trained weights, which the run ends with. "
        "0.999 is usual.",
    )
    compile: bool = Field(
        False,
        description="Compile the denoiser with torch.compile. The first steps are slow, later ones faster.",
    )
    trackers: tuple[SerializeAsAny[TrackerConfig], ...] = Field(
        (),
        description="Trackers that also receive the curves and sample grids: names, or mappings of a name "
        "and options.",
    )
    min_timestep: float = Field(0.0, ge=0, lt=1, description="Lowest t, as a fraction of the noise schedule.")
    max_timestep: float = Field(
        1.0, gt=0, le=1, description="Highest t, as a fraction of the noise schedule."
    )

    @property
    def planned_steps(self) -> int:
        """The number of steps that fractions of training refer to."""
        return self.extended_from or self.steps

    def progress(self, step: int) -> float:
        """The fraction of training before step `step` + 1, in [0, 1).

        It stays just below 1 in the steps by which a run was extended: terms that were on at its end stay.
        """
        return min(step / self.planned_steps, math.nextafter(1, 0))

    @model_validator(mode="after")
    def _consistent(self) -> "TrainSection":
        if self.min_timestep >= self.max_timestep:
            raise ValueError(
                f"min_timestep={self.min_timestep} must lie below max_timestep={self.max_timestep}"
            )
        if self.compile and self.gradient_checkpointing:
            raise ValueError(
                "compile and gradient_checkpointing exclude each other; set one of them to false"
            )
        if self.base_share + self.empty_share >= 1:
            raise ValueError(
                f"base_share={self.base_share} and empty_share={self.empty_share} leave no row that reads "
                "its target"
            )
        return self


class CheckpointSection(Section):
    """Checkpoints during training."""

    every: int = Field(100, ge=1, description="Number of optimizer steps between checkpoints.")
    keep: int = Field(2, ge=1, description="Number of the newest checkpoints to keep.")


class EvaluationSection(Section):
    """Evaluation on development prompts during training."""

    every: int = Field(0, ge=0, description="Number of optimizer steps between evaluations. 0 makes none.")
    prompts: int = Field(
        16,
        ge=1,
        le=MANY,
        description="Number of prompts, from the development split. Training never sees them.",
    )
    seeds: int = Field(1, ge=1, le=MANY, description="Number of noise seeds for each prompt.")
    target: str | None = Field(
        None, description="Target that the suite judges. By default, the one of the training folder."
    )
    keep: Literal["last", "purest"] = Field(
        "last", description="Which weights the run ends with: the last, or those with the highest SPS."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationSection":
        if self.keep == "purest" and not self.every:
            raise ValueError("keep=purest chooses between evaluations, but there are none; set every above 0")
        return self


class CounterfactualSection(Section):
    """The base model redraws each training image with and without the target, before training."""

    enabled: bool = Field(False, description="Train on purified images.")
    start: tuple[float, float] = Field(
        (0.6, 0.75), description="Range of noise levels to redraw from, as fractions of the noise schedule."
    )
    region: Literal["relevance", "style"] = Field(
        "relevance",
        description="Where the training images count. `relevance`: where they differ from the "
        "images without the target, and CLIP finds the target text in the difference. "
        "`style`: everywhere; a fitted map then transfers only colours and local "
        "patterns.",
    )
    inner: float = Field(
        1.0, gt=0, description="Size of the area where the region is 1, in effective shares of its map."
    )
    outer: float = Field(
        2.5,
        gt=0,
        description="Size of the area beyond which the region is 0, in effective shares of its map.",
    )
    between: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of rows whose z_t is an intermediate state, which still lacks part of the target.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "CounterfactualSection":
        if not 0 < self.start[0] <= self.start[1] <= 1:
            raise ValueError(f"start={list(self.start)} must be two rising fractions above 0 and up to 1")
        if self.inner >= self.outer:
            raise ValueError(f"inner={self.inner} must lie below outer={self.outer}")
        return self


class ValidationPrompt(Section):
    """A text of the user's own for the sample grids, under the names of metadata.jsonl."""

    base_text: Text = Field(min_length=1, description="Base text, for both models.")
    target_text: Text | None = Field(None, description="Target text, for the tuned model. By default, none.")


class SampleSection(Section):
    """Sampling: the images during training, and the defaults of `spf sample` and `spf evaluate`."""

    every: int = Field(200, ge=0, description="Number of optimizer steps between sample grids. 0 makes none.")
    prompts: int = Field(4, ge=1, le=MANY, description="Number of training texts in each grid.")
    validation_prompts: tuple[ValidationPrompt, ...] = Field(
        (), description="Your own texts for a second grid: base_text and, optionally, target_text."
    )
    steps: int = Field(20, ge=1, description="Number of sampler steps.")
    guidance: float = Field(3.0, ge=0, description="Classifier-free guidance scale.")
    batch_size: int = Field(25, ge=1, le=MANY, description="Number of images to sample at once.")
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="Mixed precision of sampling.")
    handover: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Fraction of the noise schedule where the tuned model takes over. Before, the "
        "base model samples the base text. Calibration may lower this value.",
    )
    negative: Literal["empty", "target"] = Field(
        "empty",
        description="Text that guidance leads away from after the handover. `empty`: no text. "
        "`target`: the target text, so that guidance does not amplify the target. "
        "Styles need this.",
    )


class CalibrationSection(Section):
    """Calibration of the handover, after training."""

    enabled: bool = Field(
        False, description="Search for a handover below sample.handover, and use it in the run."
    )
    keep: float = Field(
        0.97, gt=0, le=1, description="Share of the target's response at sample.handover that must remain."
    )
    prompts: int = Field(32, ge=1, le=MANY, description="Number of training texts that measure the response.")


class DistillationSection(Section):
    """Distillation of the handover into the weights, after training."""

    enabled: bool = Field(
        False,
        description="Train the weights further, to generate without a handover what they generate with it. "
        "A client then needs no handover.",
    )
    steps: int = Field(1200, ge=1, description="Number of optimizer steps of the distillation.")
    batch_size: int = Field(24, ge=1, le=MANY, description="Number of rows in each of these steps.")
