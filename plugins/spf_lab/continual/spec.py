"""What the continual protocol consists of: one YAML file. Torch-free."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from spf_core.config.sections import Section
from spf_core.utils.validation import MANY
from spf_core.utils.yaml_text import read_yaml
from spf_lab.benchmark.spec import BenchmarkSpec, RunsSpec, parse_spec


class StageEvaluation(Section):
    """The prompts that every stage is judged on."""

    prompts: int = Field(20, ge=1, le=MANY, description="unseen prompts, the same for every stage")
    seeds: int = Field(1, ge=1, le=MANY, description="noise seeds per prompt")
    split: Literal["test", "dev"] = Field("test", description="dev while choosing settings")
    targets: Literal["all", "learned"] = Field(
        "all", description="judge every target after each stage, or those learned so far"
    )


class ContinualSpec(RunsSpec):
    """Presets x orders of the same targets; each order is one sequence of training stages."""

    targets: tuple[str, ...] = Field(min_length=2, description="what is learnt, one target a stage")
    orders: int = Field(3, ge=3, description="random orders of the targets, all different")
    order_seed: int = Field(0, ge=0, description="seed of the orders")
    seed: int = Field(0, ge=0, description="training seed of every stage")
    evaluation: StageEvaluation = StageEvaluation()

    def as_benchmark(self) -> BenchmarkSpec:
        """The same targets and presets as cells of a benchmark with one training seed."""
        common = self.model_dump(by_alias=True, include=set(RunsSpec.model_fields))
        return BenchmarkSpec(**common, seeds=(self.seed,))


def read_continual(file: Path) -> ContinualSpec:
    """Read the protocol's file; ConfigError names the key, what is wrong and what there is instead."""
    return parse_continual(read_yaml(file), str(file))


def parse_continual(content: Mapping[str, Any], place: str) -> ContinualSpec:
    """Validate what was read from `place`."""
    return parse_spec(ContinualSpec, content, place)
