"""The run configuration: merged from preset, file, flags and `--set`, validated, frozen. Torch-free."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from spf_core.components import (
    AdapterConfig,
    BackboneConfig,
    Component,
    ControlMapConfig,
    LossConfig,
    ReferenceConfig,
    ResponseConfig,
    TermConfig,
)
from spf_core.errors import ConfigError, did_you_mean
from spf_core.merging import SLOTS as SLOTS
from spf_core.merging import merge, parse_assignment, read_yaml
from spf_core.plugins import Plugins
from spf_core.validation import explain

DEFAULT_PRESET = "spf"
_SLOT_OF_KIND = {kind: slot for slot, kind in SLOTS.items()}


class Section(BaseModel):
    """A frozen, strict part of the run configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class TrainSection(Section):
    """Length, batch and schedule of training."""

    steps: int = Field(600, ge=1, description="optimizer steps")
    batch_size: int = Field(8, ge=1, description="rows per step and device")
    accumulation: int = Field(1, ge=1, description="forward passes per optimizer step")
    seed: int = Field(0, ge=0, description="seed of data order, noise and adapter initialisation")
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="mixed precision, by Accelerate")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train")
    base_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of rows whose response path reads the base text alone; there M = 0",
    )
    empty_share: float = Field(
        0.0, ge=0, lt=1, description="share of rows where both paths read the empty text; there M = 0"
    )
    noise_share: float = Field(
        0.0, ge=0, lt=1, description="share of rows whose z_t is a state of the original model's own sampling"
    )
    text_variants: int = Field(
        1, ge=1, description="texts per image: one as written, the others with clauses left out at random"
    )
    clause_dropout: float = Field(
        0.4, ge=0, lt=1, description="chance of a clause after the first to be left out of a variant"
    )
    min_timestep: float = Field(0.0, ge=0, lt=1, description="lowest t as a fraction of the schedule")
    max_timestep: float = Field(1.0, gt=0, le=1, description="highest t as a fraction of the schedule")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainSection":
        if self.min_timestep >= self.max_timestep:
            raise ValueError(
                f"min_timestep={self.min_timestep} must lie below max_timestep={self.max_timestep}"
            )
        if self.base_share + self.empty_share >= 1:
            raise ValueError(
                f"base_share={self.base_share} and empty_share={self.empty_share} leave no row its target"
            )
        return self


class OptimizerSection(Section):
    """AdamW and the learning-rate schedule."""

    learning_rate: float = Field(1e-4, gt=0, description="peak step size")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's moment decay rates")
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="decay after warm-up")
    warmup: float = Field(0.0, ge=0, lt=1, description="fraction of training with rising step size")
    clip_norm: float = Field(1.0, gt=0, description="largest gradient norm")


class CheckpointSection(Section):
    """What is kept while training."""

    every: int = Field(100, ge=1, description="optimizer steps between checkpoints")
    keep: int = Field(2, ge=1, description="newest checkpoints kept")


class CounterfactualSection(Section):
    """Before training, the original model redraws every training image with the target and without."""

    enabled: bool = Field(False, description="train on images purified in this way")
    start: tuple[float, float] = Field(
        (0.6, 0.75), description="range of noise levels, as fractions of the schedule, to redraw from"
    )
    low: float = Field(0.7, ge=0, lt=1, description="quantile of positions where the region becomes 0")
    high: float = Field(0.92, gt=0, le=1, description="quantile of positions where the region becomes 1")
    between: float = Field(
        0.5, ge=0, le=1, description="share of rows whose z_t still lacks some of the target"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "CounterfactualSection":
        if not 0 < self.start[0] <= self.start[1] <= 1:
            raise ValueError(f"start={list(self.start)} must be two rising fractions above 0 and up to 1")
        if self.low >= self.high:
            raise ValueError(f"low={self.low} must lie below high={self.high}")
        return self


class SampleSection(Section):
    """Sampling: the pictures during training and the defaults of `spf sample` and `spf evaluate`."""

    every: int = Field(200, ge=0, description="optimizer steps between sample grids; 0 draws none")
    prompts: int = Field(4, ge=1, description="training texts drawn in each grid")
    steps: int = Field(20, ge=1, description="sampler steps")
    guidance: float = Field(3.0, ge=0, description="classifier-free guidance scale")
    batch_size: int = Field(25, ge=1, description="images sampled at once")
    handover: float = Field(
        1.0,
        gt=0,
        le=1,
        description="the original model draws the base text down to this fraction of the schedule; "
        "there the tuned one takes over, with the target",
    )


class RunConfig(Section):
    """Everything a run is made of; written to the run folder and into the weights' metadata."""

    preset: str = DEFAULT_PRESET
    data: str | None = Field(None, description="training folder")
    plugins: tuple[str, ...] = Field((), description="plugin files loaded for this run")
    backbone: SerializeAsAny[BackboneConfig]
    adapter: SerializeAsAny[AdapterConfig]
    reference: SerializeAsAny[ReferenceConfig] | None = None
    control_map: SerializeAsAny[ControlMapConfig] | None = None
    response: SerializeAsAny[ResponseConfig] | None = None
    losses: dict[str, SerializeAsAny[LossConfig]]
    train: TrainSection = TrainSection()
    counterfactuals: CounterfactualSection = CounterfactualSection()
    optimizer: OptimizerSection = OptimizerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    sample: SampleSection = SampleSection()

    @field_validator("losses")
    @classmethod
    def _some_loss(cls, losses: dict[str, LossConfig]) -> dict[str, LossConfig]:
        if not any(loss.weight > 0 for loss in losses.values()):
            raise ValueError("at least one loss term with a weight above 0 is needed")
        return losses

    @property
    def terms(self) -> dict[str, TermConfig]:
        """Loss terms and the response enhancement, by name."""
        response = {} if self.response is None else {self.response.name: self.response}
        return {**self.losses, **response}

    @property
    def needs(self) -> frozenset[str]:
        """What the terms with a weight read, and what the control map reads if one of them reads the map."""
        needs = frozenset(need for term in self.terms.values() if term.weight > 0 for need in term.needs)
        if "map" in needs and self.control_map:
            needs |= self.control_map.needs | {"reference"}
        return needs

    @model_validator(mode="after")
    def _complete(self) -> "RunConfig":
        if "reference" in self.needs and self.reference is None:
            raise ValueError(
                "a term compares with the reference path, but `reference` is empty; set it to adapter-off"
            )
        if "counterfactuals" in self.needs and not self.counterfactuals.enabled:
            raise ValueError(
                "a term or the control map reads counterfactuals; set counterfactuals.enabled to true"
            )
        if "map" in self.needs and self.control_map is None:
            raise ValueError(
                "a term reads the control map, but `control_map` is empty; set it to sfcm-v1 or uniform"
            )
        return self

    def dump(self) -> str:
        """The configuration as YAML; `load_run_config` of it gives an equal configuration."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_run_config(
    plugins: Plugins,
    *,
    preset: str | None = None,
    file: Path | None = None,
    backbone: str | None = None,
    chosen: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> RunConfig:
    """Merge, in rising precedence: defaults, preset, `file`, `backbone` and `chosen` plugins, flags, `--set`.

    `overrides` are the command's own flags as a nested mapping; `assignments` are `a.b=c` strings.
    Every user error ends here as a ConfigError of one line.
    """
    from_file = read_yaml(file) if file else {}
    in_file = from_file.pop("preset", None)
    presets = [name for name in chosen if plugins.get(name).kind == "preset"]
    name = _one_preset([preset, *presets]) or in_file or DEFAULT_PRESET
    raw = merge({"preset": name}, _preset_settings(plugins, name))
    raw = merge(raw, from_file)
    if backbone:
        plugins.get(backbone, "backbone")
        raw = merge(raw, {"backbone": backbone})
    for plugin in chosen:
        raw = merge(raw, _slot_of(plugin, plugins))
    raw = merge(raw, overrides or {})
    for assignment in assignments:
        raw = merge(raw, parse_assignment(assignment))
    return resolve(raw, plugins)


def read_run_config(file: Path, plugins: Plugins) -> RunConfig:
    """Read a resolved configuration, as `RunConfig.dump` wrote it."""
    return resolve(read_yaml(file), plugins)


def resolve(raw: Mapping[str, Any], plugins: Plugins) -> RunConfig:
    """Validate a merged mapping: components first, then the sections."""
    ready = dict(raw)
    _refuse_unknown_keys(ready)
    for slot, kind in SLOTS.items():
        if ready.get(slot) is not None:
            ready[slot] = parse_component(plugins, kind, ready[slot], slot)
    losses = ready.get("losses") or {}
    if not isinstance(losses, Mapping):
        raise ConfigError(f"losses: expected a mapping from loss names to options, got {losses!r}")
    ready["losses"] = {name: _parse_loss(plugins, name, options) for name, options in losses.items()}
    try:
        return RunConfig.model_validate(ready)
    except ValidationError as error:
        raise ConfigError(explain(error, "", RunConfig)) from None


def parse_component(plugins: Plugins, kind: str, value: Any, place: str) -> Component:
    """Turn `"name"` or `{"name": ..., option: ...}` into a config of `kind`."""
    options = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{place}: expected the name of a {kind}, got {value!r}")
    config = plugins.get(name, kind)
    try:
        return config.model_validate(options)
    except ValidationError as error:
        raise ConfigError(explain(error, place, config)) from None


def _parse_loss(plugins: Plugins, name: str, options: Any) -> Component:
    """`losses.NAME` is a mapping of options, `true` for the defaults, or `false` for weight 0."""
    place = f"losses.{name}"
    if options is None or isinstance(options, bool):
        options = {"weight": 0.0} if options is False else {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"{place}: expected options, true or false, got {options!r}; see {place}.weight")
    return parse_component(plugins, "loss", {**options, "name": name}, place)


def _one_preset(names: Sequence[str | None]) -> str | None:
    chosen = sorted({name for name in names if name})
    if len(chosen) > 1:
        raise ConfigError(f"presets '{chosen[0]}' and '{chosen[1]}' are both chosen; a run has one")
    return chosen[0] if chosen else None


def _preset_settings(plugins: Plugins, name: Any) -> dict[str, Any]:
    if not isinstance(name, str):
        raise ConfigError(f"preset: expected the name of a preset, got {name!r}")
    settings: dict[str, Any] = getattr(plugins.get(name, "preset"), "settings", {})
    return settings


def _slot_of(name: str, plugins: Plugins) -> dict[str, Any]:
    kind = plugins.get(name).kind
    if kind == "preset":
        return {}
    if kind == "loss":
        return {"losses": {name: {}}}
    if kind in _SLOT_OF_KIND:
        return {_SLOT_OF_KIND[kind]: name}
    raise ConfigError(f"'{name}' is a {kind}; --plugin fills {', '.join(_SLOT_OF_KIND)}, loss or preset")


def _refuse_unknown_keys(raw: Mapping[str, Any]) -> None:
    for key in raw:
        if key not in RunConfig.model_fields:
            keys = ", ".join(RunConfig.model_fields)
            raise ConfigError(f"unknown key '{key}'.{did_you_mean(key, RunConfig.model_fields)} Keys: {keys}")
