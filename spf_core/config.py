"""The run configuration: merged from preset, file, flags and `--set`, validated, frozen. Torch-free."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

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
from spf_core.plugins import Plugins

DEFAULT_PRESET = "spf"
SLOTS: dict[str, str] = {
    "backbone": "backbone",
    "adapter": "adapter",
    "reference": "reference",
    "control_map": "control-map",
    "response": "response",
}
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
        0.0, ge=0, lt=1, description="share of rows whose response path reads the base text alone; there M = 0"
    )
    empty_share: float = Field(
        0.0, ge=0, lt=1, description="share of rows where both paths read the empty text; there M = 0"
    )
    min_timestep: float = Field(0.0, ge=0, lt=1, description="lowest t as a fraction of the schedule")
    max_timestep: float = Field(1.0, gt=0, le=1, description="highest t as a fraction of the schedule")


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


class SampleSection(Section):
    """Sampling: the pictures during training and the defaults of `spf sample` and `spf evaluate`."""

    every: int = Field(0, ge=0, description="optimizer steps between sample grids; 0 draws none")
    prompts: int = Field(4, ge=1, description="training texts drawn in each grid")
    steps: int = Field(20, ge=1, description="sampler steps")
    guidance: float = Field(3.0, ge=0, description="classifier-free guidance scale")
    batch_size: int = Field(25, ge=1, description="images sampled at once")


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
    optimizer: OptimizerSection = OptimizerSection()
    checkpoint: CheckpointSection = CheckpointSection()
    sample: SampleSection = SampleSection()

    @field_validator("losses")
    @classmethod
    def _some_loss(cls, losses: dict[str, LossConfig]) -> dict[str, LossConfig]:
        if not losses:
            raise ValueError("at least one loss term is needed")
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
            raise ValueError("a term compares with the reference path, but `reference` is empty; set it to adapter-off")
        if "map" in self.needs and self.control_map is None:
            raise ValueError("a term reads the control map, but `control_map` is empty; set it to sfcm-v1 or uniform")
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
    from_file = _read_yaml(file) if file else {}
    in_file = from_file.pop("preset", None)
    name = preset or in_file or DEFAULT_PRESET
    raw: dict[str, Any] = {"preset": name}
    _merge(raw, _preset_settings(plugins, name), plugins)
    _merge(raw, from_file, plugins)
    if backbone:
        plugins.get(backbone, "backbone")
        _merge(raw, {"backbone": backbone}, plugins)
    for plugin in chosen:
        _choose(raw, plugin, plugins)
    _merge(raw, overrides or {}, plugins)
    for assignment in assignments:
        _merge(raw, _parse_assignment(assignment), plugins)
    return resolve(raw, plugins)


def read_run_config(file: Path, plugins: Plugins) -> RunConfig:
    """Read a resolved configuration, as `RunConfig.dump` wrote it."""
    return resolve(_read_yaml(file), plugins)


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
    ready["losses"] = {
        name: parse_component(plugins, "loss", {"name": name, **(options or {})}, f"losses.{name}")
        for name, options in losses.items()
        if options is not False
    }
    try:
        return RunConfig.model_validate(ready)
    except ValidationError as error:
        raise ConfigError(_explain(error, "", RunConfig)) from None


def parse_component(plugins: Plugins, kind: str, value: Any, place: str) -> Component:
    """Turn `"name"` or `{"name": ..., option: ...}` into a config of `kind`."""
    if isinstance(value, Component):
        return value
    options = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{place}: expected the name of a {kind}, got {value!r}")
    config = plugins.get(name, kind)
    try:
        return config.model_validate(options)
    except ValidationError as error:
        raise ConfigError(_explain(error, place, config)) from None


def _preset_settings(plugins: Plugins, name: str) -> dict[str, Any]:
    config = plugins.get(name, "preset")
    settings: dict[str, Any] = getattr(config, "settings", {})
    return settings


def _choose(raw: dict[str, Any], name: str, plugins: Plugins) -> None:
    kind = plugins.get(name).kind
    if kind == "preset":
        raw["preset"] = name
        _merge(raw, _preset_settings(plugins, name), plugins)
    elif kind == "loss":
        _merge(raw, {"losses": {name: {}}}, plugins)
    elif kind in _SLOT_OF_KIND:
        _merge(raw, {_SLOT_OF_KIND[kind]: name}, plugins)
    else:
        raise ConfigError(f"'{name}' is a {kind}; --plugin fills {', '.join(_SLOT_OF_KIND)}, loss or preset")


def _merge(raw: dict[str, Any], update: Mapping[str, Any], plugins: Plugins) -> None:
    for key, value in update.items():
        if key in SLOTS:
            raw[key] = _merge_slot(raw.get(key), value)
        elif isinstance(value, Mapping) and isinstance(raw.get(key), Mapping):
            merged = dict(raw[key])
            _merge(merged, value, plugins)
            raw[key] = merged
        else:
            raw[key] = dict(value) if isinstance(value, Mapping) else value


def _merge_slot(old: Any, new: Any) -> Any:
    """Options stay when the component stays; another component keeps only weight and schedule."""
    if new is None:
        return None
    old_options = {"name": old} if isinstance(old, str) else dict(old or {})
    new_options = {"name": new} if isinstance(new, str) else dict(new) if isinstance(new, Mapping) else {"name": new}
    if "name" in new_options and new_options["name"] != old_options.get("name"):
        old_options = {key: old_options[key] for key in TermConfig.model_fields if key in old_options}
    return {**old_options, **new_options}


def _parse_assignment(assignment: str) -> dict[str, Any]:
    path, sign, text = assignment.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"--set {assignment}: expected KEY=VALUE, for example --set train.steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {assignment}: '{text}' is not a YAML value") from None
    nested: Any = value
    for key in reversed(path.strip().split(".")):
        nested = {key: nested}
    result: dict[str, Any] = nested
    return result


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config file '{file}' does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"config file '{file}' cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"config file '{file}' must hold a mapping of keys to values")
    return content


def _refuse_unknown_keys(raw: Mapping[str, Any]) -> None:
    for key in raw:
        if key not in RunConfig.model_fields:
            raise ConfigError(
                f"unknown key '{key}'.{did_you_mean(key, RunConfig.model_fields)} Keys: {', '.join(RunConfig.model_fields)}"
            )


def _explain(error: ValidationError, place: str, model: type[BaseModel]) -> str:
    """The first finding as `path: message`, with a suggestion for a misspelt key."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in ([place] if place else []) + list(first["loc"]))
    if first["type"] == "extra_forbidden":
        key, fields = str(first["loc"][-1]), _fields_at(model, first["loc"][:-1])
        return f"{path}: unknown option '{key}'.{did_you_mean(key, fields)} Options: {', '.join(fields)}"
    if first["type"] == "missing":
        return f"{path}: is required"
    return f"{path}: {first['msg']} (got {first['input']!r})"


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
