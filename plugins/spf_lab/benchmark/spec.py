"""What a benchmark consists of: one YAML file, checked against what is installed. Torch-free."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from spf_core.config.sections import Section
from spf_core.errors import ConfigError
from spf_core.plugins import UserPath
from spf_core.utils.validation import MANY, explain
from spf_core.utils.yaml_text import read_yaml

Assignments = tuple[str, ...]
Spec = TypeVar("Spec", bound=Section)


def refuse_repeated(values: Iterable[Any]) -> None:
    """ValueError when a value occurs twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(
                f"'{value}' is listed twice; give every entry once, presets with a `name` of their own"
            )
        seen.add(value)


class PresetEntry(Section):
    """A row of the tables: a preset, perhaps with other settings, under a name of its own."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="what the tables call it")
    preset: str = Field(description="name of an installed preset")
    assignments: Assignments = Field((), alias="set", description="settings as KEY=VALUE")
    family: str | None = Field(None, description="rows of one family share a colour, and its best is named")


class ComparedEntry(PresetEntry):
    """A row of a benchmark, which may have fewer cells than the others."""

    targets: tuple[str, ...] | None = Field(
        None, min_length=1, description="which targets it is run on; by default all"
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="which training seeds it is run with; by default all"
    )


class ScoreEntry(Section):
    """A score of the literature, shown beside the purity score."""

    name: str = Field(description="name of an installed score, or `all`")
    assignments: Assignments = Field((), alias="set", description="options as KEY=VALUE")


class DataSection(Section):
    """The training folder that the suite writes for each target."""

    count: int = Field(60, ge=1, le=MANY, description="images per target")
    bias: dict[str, str] = Field(
        {}, description="attribute values that all images share and no text mentions"
    )
    seed: int = Field(0, ge=0, description="seed of the images")
    size: int = Field(64, ge=16, description="side of an image in pixels")


class EvaluationSection(Section):
    """The prompts that every cell is judged on."""

    prompts: int = Field(100, ge=1, le=MANY, description="unseen prompts per target")
    seeds: int = Field(2, ge=1, le=MANY, description="noise seeds per prompt")
    split: Literal["test", "dev"] = Field("test", description="dev while choosing settings")
    keep: int = Field(
        8, ge=1, le=MANY, description="prompts whose pictures are kept, for grids and user studies"
    )
    scores: tuple[ScoreEntry, ...] = Field(
        (), description="scores of the literature; by default those without outside weights"
    )
    strengths: tuple[Annotated[float, Field(ge=0, le=4)], ...] = Field(
        (), description="adapter strengths of the frontier"
    )

    @field_validator("strengths")
    @classmethod
    def _distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        refuse_repeated(values)
        return values

    @field_validator("scores", mode="before")
    @classmethod
    def _named(cls, entries: Any) -> Any:
        if not isinstance(entries, list | tuple):
            return entries
        return [{"name": entry} if isinstance(entry, str) else entry for entry in entries]

    @field_validator("scores")
    @classmethod
    def _distinct_scores(cls, entries: tuple[ScoreEntry, ...]) -> tuple[ScoreEntry, ...]:
        refuse_repeated(entry.name for entry in entries)
        return entries


class RunsSpec(Section):
    """Presets x targets, and what their runs have in common."""

    suite: str = Field(description="world that provides data, prompts and judges")
    backbone: str | None = Field(None, description="text-to-image model; by default that of the presets")
    targets: tuple[str, ...] = Field(min_length=1, description="what is learnt")
    presets: tuple[PresetEntry, ...] = Field(min_length=1, description="rows of the tables")
    data: DataSection = DataSection()
    steps: int | None = Field(None, ge=1, description="optimizer steps; by default those of the presets")
    plugins: tuple[UserPath, ...] = Field((), description="plugin files to load")
    assignments: Assignments = Field((), alias="set", description="settings of every run as KEY=VALUE")
    target_set: dict[str, Assignments] = Field(
        {},
        description="settings of every run of a target: what its user knows of it, that it is a style, say",
    )

    @model_validator(mode="after")
    def _targets_known(self) -> "RunsSpec":
        for name in self.target_set:
            if name not in self.targets:
                known = ", ".join(self.targets)
                raise ValueError(f"target_set has '{name}', which is none of the targets: {known}")
        return self

    @field_validator("presets", mode="before")
    @classmethod
    def _named(cls, entries: Any) -> Any:
        if not isinstance(entries, list | tuple):
            return entries
        return [_named_entry(entry) for entry in entries]

    @field_validator("targets")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        refuse_repeated(values)
        return values

    @field_validator("presets")
    @classmethod
    def _distinct_names(cls, entries: tuple[PresetEntry, ...]) -> tuple[PresetEntry, ...]:
        refuse_repeated(entry.name for entry in entries)
        return entries

    @property
    def reference(self) -> str:
        """The row that the others are compared with: `spf`, or else the first."""
        names = [entry.name for entry in self.presets]
        return "spf" if "spf" in names else names[0]

    def plain(self) -> dict[str, Any]:
        """The same as a file would hold it."""
        return self.model_dump(mode="json", by_alias=True)


class BenchmarkSpec(RunsSpec):
    """Presets x targets x training seeds."""

    presets: tuple[ComparedEntry, ...] = Field(min_length=1, description="rows of the tables")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="training seeds")
    evaluation: EvaluationSection = EvaluationSection()

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        refuse_repeated(values)
        return values

    @model_validator(mode="after")
    def _cells_known(self) -> "BenchmarkSpec":
        for entry in self.presets:
            for key in ("targets", "seeds"):
                for value in getattr(entry, key) or ():
                    if value not in getattr(self, key):
                        known = ", ".join(str(each) for each in getattr(self, key))
                        raise ValueError(
                            f"preset '{entry.name}' lists {value!r}, which is none of the {key}: {known}"
                        )
        return self


def read_benchmark(file: Path) -> BenchmarkSpec:
    """Read a benchmark's file; ConfigError names the key, what is wrong and what there is instead."""
    return parse_benchmark(read_yaml(file), str(file))


def parse_benchmark(content: Mapping[str, Any], place: str) -> BenchmarkSpec:
    """Validate what was read from `place`."""
    return parse_spec(BenchmarkSpec, content, place)


def parse_spec(kind: type[Spec], content: Mapping[str, Any], place: str) -> Spec:
    """Validate what was read from `place`; ConfigError as of `read_benchmark`."""
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(f"'{place}': {explain(error, '', kind)}") from None


def _named_entry(entry: Any) -> Any:
    if isinstance(entry, str):
        return {"name": entry, "preset": entry}
    if isinstance(entry, Mapping) and "preset" in entry:
        return {"name": entry["preset"], **entry}
    return entry
