"""Sections of the run configuration: how to train, redraw, optimise, keep and sample. Torch-free."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spf_core.utils.paths import UserPath
from spf_core.utils.validation import MANY, Strict, Text

LEAST_FACTOR = 0.01  # below it, a step size was meant, not prodigy's factor


class Section(Strict):
    """A part of the run configuration."""


COLUMNS = ("image", "mask", "caption", "base_text", "target_text")


class DatasetSection(Section):
    """How the training data is read, and what of its images is shown."""

    trigger: Text | None = Field(
        None, description="words of the target in captions: without them a caption is the base text"
    )
    columns: dict[str, str] = Field(
        {}, description="names of columns that are not called so, as in caption=prompt"
    )
    split: str = Field("train", description="part of a Hugging Face dataset")
    subset: str | None = Field(None, description="configuration of a Hugging Face dataset, if it has several")
    revision: str | None = Field(None, description="branch, tag or commit of a dataset on the hub")
    masks: str = Field("masks", description="sub-folder with a mask for each captioned image, of its name")
    crop: Literal["center", "random"] = Field("center", description="where images are cropped")
    flip: bool = Field(False, description="mirror half of the rows, left to right")
    views: int = Field(
        1, ge=1, le=MANY, description="rows made of each row, each with its own crop and mirroring"
    )
    buckets: bool = Field(
        False,
        description="keep about the shape of each image: a batch holds pictures of one shape, all of about "
        "the model's area",
    )
    cache: bool = Field(False, description="keep latents and text embeddings on disk for other runs")

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetSection":
        for name in self.columns:
            if name not in COLUMNS:
                raise ValueError(f"columns: '{name}' is none of {', '.join(COLUMNS)}")
        if self.views > 1 and self.crop == "center" and not self.flip:
            raise ValueError(
                f"views={self.views} would all be the same; set crop to random or flip to true, or views to 1"
            )
        if self.trigger is not None and not self.trigger.strip():
            raise ValueError("trigger is empty; name the words of the target, or leave it out")
        return self


class TrainSection(Section):
    """Length, batch and schedule of training."""

    steps: int = Field(600, ge=0, description="optimizer steps; 0 trains nothing: the original, merely asked")
    extended_from: int | None = Field(
        None,
        ge=1,
        description="steps before the run was extended: warm-up, and where terms start and stop, are "
        "fractions of them",
    )
    batch_size: int = Field(8, ge=1, le=MANY, description="rows per step and device")
    accumulation: int = Field(1, ge=1, description="forward passes per optimizer step")
    seed: int = Field(0, ge=0, description="seed of data order, noise and adapter initialisation")
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="mixed precision, by Accelerate")
    gradient_checkpointing: bool = Field(
        False, description="compute activations twice instead of keeping them: less memory, more time"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train")
    start_from: UserPath | None = Field(
        None, description="finished run whose weights training begins with; the reference stays the original"
    )
    base_share: float = Field(
        0.0, ge=0, lt=1, description="share of rows whose response path reads the base text; there M = 0"
    )
    empty_share: float = Field(
        0.0, ge=0, lt=1, description="share of rows where both paths read the empty text; there M = 0"
    )
    preserve_on: Literal["data", "own"] = Field(
        "data",
        description="what rows that do not read their target are noised from: the training images, or what "
        "the original model draws for their base texts, which lacks what the training images share",
    )
    noise_share: float = Field(
        0.0, ge=0, le=1, description="share of rows whose z_t is a state of the original model's own sampling"
    )
    text_variants: int = Field(
        1,
        ge=1,
        le=MANY,
        description="texts per image: one as written, the others with clauses left out at random",
    )
    clause_dropout: float = Field(
        0.4, ge=0, lt=1, description="chance of a clause after the first to be left out of a variant"
    )
    caption_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the rows that read their target which read no text instead and learn their "
        "image so; nothing of them is aligned",
    )
    release: tuple[str, ...] = Field(
        (), description="words of base phrases that are free to change: not aligned, and added to the map"
    )
    noise_offset: float = Field(
        0.0,
        ge=0,
        description="noise added to each channel as a whole; 0.05 to 0.1 are usual",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="keep a moving average of the trained weights, and end with it; 0.999 is usual",
    )
    compile: bool = Field(
        False,
        description="compile the denoiser by torch.compile: slow first steps, faster ones later",
    )
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        (), description="also write the curves and sample grids for these, by Accelerate"
    )
    min_timestep: float = Field(0.0, ge=0, lt=1, description="lowest t as a fraction of the schedule")
    max_timestep: float = Field(1.0, gt=0, le=1, description="highest t as a fraction of the schedule")

    @property
    def planned_steps(self) -> int:
        """What fractions of training are fractions of."""
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
                f"base_share={self.base_share} and empty_share={self.empty_share} leave no row its target"
            )
        return self


_Rate = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSection(Section):
    """The optimizer and the learning-rate schedule."""

    name: Literal["adamw", "adamw8bit", "adafactor", "prodigy", "lion"] = Field(
        "adamw",
        description="adamw (fused); adamw8bit by bitsandbytes, adafactor by transformers, prodigy by "
        "prodigyopt, lion by lion-pytorch",
    )
    learning_rate: float = Field(1e-4, gt=0, description="peak step size; prodigy takes 1")
    text_encoder_learning_rate: float | None = Field(
        None, gt=0, description="peak step size of text encoders, where they are trained; none: the same"
    )
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    betas: tuple[_Rate, _Rate] = Field((0.9, 0.999), description="moment decay rates; adafactor has none")
    schedule: Literal[
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "piecewise_constant",
    ] = Field("constant", description="decay after warm-up, by diffusers")
    warmup: float = Field(0.0, ge=0, lt=1, description="fraction of training with rising step size")
    cycles: int = Field(1, ge=1, description="restarts of cosine_with_restarts")
    power: float = Field(1.0, gt=0, description="exponent of polynomial")
    step_rules: str | None = Field(
        None,
        pattern=r"^(\d*\.?\d+:\d+,)+\d*\.?\d+$",
        description="of piecewise_constant: factor:until step, ..., last factor, as in 1:100,0.1:200,0.01",
    )
    clip_norm: float = Field(1.0, gt=0, description="largest gradient norm")

    @model_validator(mode="after")
    def _consistent(self) -> "OptimizerSection":
        if self.name == "prodigy" and self.learning_rate < LEAST_FACTOR:
            raise ValueError(
                f"learning_rate={self.learning_rate:g} is a factor of the step size that prodigy finds "
                "by itself; set it to 1"
            )
        if self.name == "prodigy" and self.text_encoder_learning_rate is not None:
            raise ValueError(
                "prodigy finds one step size for everything; leave text_encoder_learning_rate out"
            )
        if self.name == "adafactor" and self.betas != (0.9, 0.999):
            raise ValueError(f"betas={list(self.betas)} are not read by adafactor; leave them out")
        piecewise = self.schedule == "piecewise_constant"
        if piecewise != (self.step_rules is not None):
            raise ValueError("step_rules and schedule=piecewise_constant need each other; set both or none")
        if piecewise and self.warmup:
            raise ValueError(f"warmup={self.warmup} is not read by piecewise_constant; write it as a rule")
        return self


class CheckpointSection(Section):
    """What is kept while training."""

    every: int = Field(100, ge=1, description="optimizer steps between checkpoints")
    keep: int = Field(2, ge=1, description="newest checkpoints kept")


class EvaluationSection(Section):
    """Evaluation on development prompts while training goes on."""

    every: int = Field(0, ge=0, description="optimizer steps between evaluations; 0 makes none")
    prompts: int = Field(16, ge=1, le=MANY, description="unseen prompts, of the development split")
    seeds: int = Field(1, ge=1, le=MANY, description="noise seeds for each prompt")
    target: str | None = Field(None, description="target to judge; none: the one of the training folder")
    keep: Literal["last", "purest"] = Field(
        "last", description="which weights the run ends with: the last, or those with the highest SPS"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "EvaluationSection":
        if self.keep == "purest" and not self.every:
            raise ValueError("keep=purest needs evaluations to choose from; set every above 0")
        return self


class CounterfactualSection(Section):
    """Before training, the original model redraws every training image with the target and without."""

    enabled: bool = Field(False, description="train on images purified in this way")
    start: tuple[float, float] = Field(
        (0.6, 0.75), description="range of noise levels, as fractions of the schedule, to redraw from"
    )
    region: Literal["relevance", "style"] = Field(
        "relevance",
        description="where the images teach: where they differ from the pictures without the target and the "
        "target's text finds itself; or `style`: everywhere, and a style is all they teach",
    )
    inner: float = Field(1.0, gt=0, description="the region is 1 in so many effective shares of its map")
    outer: float = Field(2.5, gt=0, description="the region is 0 beyond so many effective shares of its map")
    between: float = Field(
        0.5, ge=0, le=1, description="share of rows whose z_t still lacks some of the target"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "CounterfactualSection":
        if not 0 < self.start[0] <= self.start[1] <= 1:
            raise ValueError(f"start={list(self.start)} must be two rising fractions above 0 and up to 1")
        if self.inner >= self.outer:
            raise ValueError(f"inner={self.inner} must lie below outer={self.outer}")
        return self


class ValidationPrompt(Section):
    """A text to look at while training goes on, under the names of metadata.jsonl."""

    base_text: Text = Field(min_length=1, description="what both models draw")
    target_text: Text | None = Field(None, description="what the tuned model is to add; none: nothing")


class SampleSection(Section):
    """Sampling: the pictures during training and the defaults of `spf sample` and `spf evaluate`."""

    every: int = Field(200, ge=0, description="optimizer steps between sample grids; 0 draws none")
    prompts: int = Field(4, ge=1, le=MANY, description="training texts drawn in each grid")
    validation_prompts: tuple[ValidationPrompt, ...] = Field(
        (), description="texts of your own, drawn in a second grid: base_text and, if you like, target_text"
    )
    steps: int = Field(20, ge=1, description="sampler steps")
    guidance: float = Field(3.0, ge=0, description="classifier-free guidance scale")
    batch_size: int = Field(25, ge=1, le=MANY, description="images sampled at once")
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="mixed precision of sampling")
    handover: float = Field(
        1.0,
        gt=0,
        le=1,
        description="the original model draws the base text down to this fraction of the schedule; "
        "there the tuned one takes over, with the target (calibration may find a later one)",
    )
    negative: Literal["empty", "target"] = Field(
        "empty",
        description="what guidance leads away from after the handover: no text, or the target's text alone, "
        "so that the target is not amplified, as a style needs it",
    )


class CalibrationSection(Section):
    """When training ends: how late the original may hand over to the tuned model."""

    enabled: bool = Field(
        False, description="search below sample.handover, and let the run use what is found"
    )
    keep: float = Field(
        0.97, gt=0, le=1, description="share of the target's response at sample.handover that must remain"
    )
    prompts: int = Field(32, ge=1, le=MANY, description="training texts drawn to measure the response")
