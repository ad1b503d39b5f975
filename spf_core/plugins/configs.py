"""Base classes of component configs, one per kind. Torch-free: `build()` imports the heavy module."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from spf_core.errors import ConfigError, PluginError
from spf_core.utils.validation import Strict

# reference: theta_0's prediction under the base text; attention, queries: captured from both paths;
# map: the control map; clean_image: E_I(x_0) of the images; counterfactuals: those of the batch;
# original: `state.predictions.original`; target_text: the target's conditioning alone; masks: of the data;
# class_images: the original's own pictures of the base texts; reward: `state.reward`
Need = Literal[
    "reference",
    "attention",
    "queries",
    "map",
    "clean_image",
    "counterfactuals",
    "original",
    "target_text",
    "masks",
    "class_images",
    "reward",
]


class Component(Strict):
    """A frozen, strict config that knows its name and builds the object it configures.

    The first line of a subclass's docstring is its summary in `spf plugins list`.
    """

    name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    replaces: ClassVar[
        dict[str, str]
    ] = {}  # option of an earlier version, as in train.x -> option of its own
    provided_by: ClassVar[str] = ""  # set when plugins load, as in plugin 'NAME' 1.2; empty for spf's own

    def build(self) -> Any:
        """Import what is heavy and return the object that satisfies the kind's protocol."""
        raise PluginError(f"{label(self)} has no build(); define the method that returns what it configures")

    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **handler(self)}


def label(config: Component | type[Component]) -> str:
    """What messages call it: `loss 'mine' of plugin 'my-package' 1.2`."""
    provider = f" of {config.provided_by}" if config.provided_by else ""
    return f"{config.kind} '{config.name}'{provider}"


class BackboneConfig(Component):
    """A text-to-image model; builds an `interfaces.Backbone`."""

    kind = "backbone"
    family: ClassVar[str | None] = (
        None  # what LoRA files call its architecture, such as sd_v1, if they know it
    )

    @property
    def packed(self) -> bool:
        """Whether the denoiser's weights are packed into few bits, so that nothing can change them."""
        return False

    @classmethod
    def settings_for(cls, adapter: str) -> dict[str, Any]:
        """Run settings in place of a preset's where such an adapter is trained; files and flags win.

        Presets are tuned on the embedded portraits; a larger model says here what differs on it.
        """
        return {}

    def look(self) -> str:
        """Where the model is, for `spf doctor`; RunError when it cannot be had. Downloads nothing.

        A backbone whose `build()` downloads says here what it can find out without.
        """
        self.build()
        return "loads"

    def companions(self) -> Mapping[str, Callable[[], str]]:
        """Other models that it loads, each by its name with a function that looks for it as `look` does."""
        return {}


class AdapterConfig(Component):
    """What is trainable; builds an `interfaces.Adapter`."""

    kind = "adapter"
    needs_plain_weights: ClassVar[bool] = False  # whether it reads or changes the base model's own weights

    @property
    def tunes_texts(self) -> bool:
        """Whether it tunes the text encoders too; what it builds is then an `interfaces.TextTuning`."""
        return False


class ReferenceConfig(Component):
    """The frozen reference path; builds an `interfaces.Reference`."""

    kind = "reference"
    runs_shards: ClassVar[bool] = False  # whether it works where processes share out the weights

    @property
    def recorded_states(self) -> int:
        """States of each row that it is run on before training, as an `interfaces.RecordsStates`; 0: none."""
        return 0


class ControlMapConfig(Component):
    """Where the target responds; builds an `interfaces.ControlMap`."""

    kind = "control-map"
    needs: ClassVar[frozenset[Need]] = frozenset()


class TermConfig(Component):
    """A weighted, scheduled term of the training objective."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    frozen_texts: ClassVar[bool] = False  # whether it needs text encoders that are left as they are
    weight: float = Field(1.0, ge=0, description="Factor of the term in the objective.")
    start: float = Field(
        0.0, ge=0, le=1, description="Fraction of training at which the term becomes active."
    )
    stop: float = Field(
        1.0, ge=0, le=1, description="Fraction of training at which the term stops being active."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "TermConfig":
        if self.start > self.stop:
            raise ValueError(f"start={self.start} lies after stop={self.stop}")
        return self

    def active(self, progress: float) -> bool:
        """Whether the term counts at `progress` in [0, 1) of the run."""
        return self.weight > 0 and self.start <= progress < self.stop


class LossConfig(TermConfig):
    """A loss term; builds an `interfaces.Term`."""

    kind = "loss"


class ResponseConfig(TermConfig):
    """A response enhancement; builds an `interfaces.Term`."""

    kind = "response"


class RewardConfig(Component):
    """A preference that training may follow; builds an `interfaces.Reward`."""

    kind = "reward"


_Rate = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[_Rate, _Rate]
"""Decay rates of an optimizer's moments, as the type of an option."""


class OptimizerConfig(Component):
    """The optimizer and the learning-rate schedule; builds an `interfaces.MakesOptimizer`.

    These options belong to every optimizer. They stay when another optimizer is chosen.
    """

    kind = "optimizer"
    default: ClassVar[bool] = False  # whether runs have it that name none
    runs_shards: ClassVar[bool] = False  # whether it works where processes share out the weights
    lighter: ClassVar[str | None] = None  # an optimizer with the same steps that keeps less, for --profile
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate.")
    text_encoder_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of text encoders, where the adapter trains "
        "them. By default, the same as learning_rate.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    schedule: Literal[
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "piecewise_constant",
    ] = Field("constant", description="Learning-rate schedule after the warm-up, by diffusers.")
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Fraction of training in which the learning rate rises from 0."
    )
    cycles: int = Field(1, ge=1, description="Number of restarts of cosine_with_restarts.")
    power: float = Field(1.0, gt=0, description="Exponent of the polynomial schedule.")
    step_rules: str | None = Field(
        None,
        pattern=r"^(\d*\.?\d+:\d+,)+\d*\.?\d+$",
        description="Rules of piecewise_constant: factor:until step, ..., last factor, as in "
        "1:100,0.1:200,0.01.",
    )
    clip_norm: float = Field(
        1.0, gt=0, description="Largest gradient norm. Larger gradients are scaled down to it."
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> "OptimizerConfig":
        piecewise = self.schedule == "piecewise_constant"
        if piecewise != (self.step_rules is not None):
            raise ValueError("step_rules and schedule=piecewise_constant need each other; set both or none")
        if piecewise and self.warmup:
            raise ValueError(f"piecewise_constant does not read warmup={self.warmup}; write it as a rule")
        return self

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """What the optimizer keeps of a trained tensor of this shape, in bytes, for the memory estimate.

        Here it is two float32 numbers for each value, as Adam keeps them.
        """
        return 8 * math.prod(shape)

    def step_size(self, group: Mapping[str, Any]) -> float:
        """The step size of a parameter group's next step, for the log: the scheduled learning rate.

        An optimizer that finds a factor of its own returns the product.
        """
        return float(group["lr"])


class TrackerConfig(Component):
    """Where a run's numbers and pictures go besides its folder; builds an `interfaces.Tracker`."""

    kind = "tracker"


class PromptEditorConfig(Component):
    """A change of the text embeddings at sampling; builds an `interfaces.PromptEditor`."""

    kind = "prompt-editor"


class MetricConfig(Component):
    """A distance or score over quadruples; builds an `interfaces.Metric`."""

    kind = "metric"


class ScoreConfig(Component):
    """A number shown beside the purity score; builds an `interfaces.Score`, or raises Unavailable."""

    kind = "score"
    weights: ClassVar[str | None] = None  # what outside weights are called; None when none are needed

    def missing(self) -> str | None:
        """Why the score cannot be had on this machine, as far as a look at the disk tells."""
        return None

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """Turn upstream's files into the safetensors that `build()` reads; `base` gives what they lack."""
        raise ConfigError(
            f"score '{self.name}' has no converter; "
            f"give it upstream's files as they are, with --set {self.name}.path=FOLDER"
        )


class SuiteConfig(Component):
    """A world to train and evaluate in: data sets, prompts, judges; builds an `interfaces.Suite`."""

    kind = "suite"
    backbones: ClassVar[tuple[str, ...]] = ()  # that draw its world; empty: any may
    writes_data: ClassVar[bool] = True  # whether `spf data NAME` and benchmarks can write its training sets


class ExporterConfig(Component):
    """A format of `spf export`; builds an `interfaces.Exporter`."""

    kind = "exporter"
    folder: ClassVar[bool] = False  # whether it writes a new folder; else a single file
    holds: ClassVar[frozenset[Literal["lora", "model"]]] = frozenset({"lora", "model"})
    on_hub: ClassVar[bool] = False  # whether `spf push` uploads it
    for_clients: ClassVar[bool] = False  # whether ComfyUI and others read its file; an export says what of it


class DataReaderConfig(Component):
    """A layout of training data; builds an `interfaces.DataReader`."""

    kind = "data-reader"
    reads: ClassVar[str] = ""  # what it looks for, for messages, as in "a COCO file captions.json"

    def sample(self, folder: Path) -> str:
        """Write two rows or more into the empty folder, and return them as `--data` names them.

        The checks of `spf plugins check` read it, with `dataset.trigger` set to "wearing a hat". A caption of
        the sample holds these words, and each image has at least 32 x 32 pixels.
        """
        raise PluginError(f"{label(self)} has no sample(folder); define it, for the checks of its contract")


class PresetConfig(Component):
    """A named choice of components with weights and schedule: a baseline or an ablation."""

    kind = "preset"
    settings: ClassVar[dict[str, Any]] = {}
    default: ClassVar[bool] = False  # whether runs have it that name none


KINDS: dict[str, type[Component]] = {
    base.kind: base
    for base in (
        BackboneConfig,
        AdapterConfig,
        ReferenceConfig,
        ControlMapConfig,
        ResponseConfig,
        LossConfig,
        RewardConfig,
        OptimizerConfig,
        TrackerConfig,
        PromptEditorConfig,
        MetricConfig,
        ScoreConfig,
        SuiteConfig,
        ExporterConfig,
        DataReaderConfig,
        PresetConfig,
    )
}

# What `build()` returns, by its name in spf_core.interfaces; a preset builds nothing.
PROTOCOL_OF: dict[str, str] = {
    "backbone": "Backbone",
    "adapter": "Adapter",
    "reference": "Reference",
    "control-map": "ControlMap",
    "response": "Term",
    "loss": "Term",
    "reward": "Reward",
    "optimizer": "MakesOptimizer",
    "tracker": "Tracker",
    "prompt-editor": "PromptEditor",
    "metric": "Metric",
    "score": "Score",
    "suite": "Suite",
    "exporter": "Exporter",
    "data-reader": "DataReader",
}
