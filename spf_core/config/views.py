"""What each room reads of the run configuration. Torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass

from spf_core.config.sections import CounterfactualSection, DatasetSection, SampleSection, TrainSection
from spf_core.plugins.configs import (
    BackboneConfig,
    ControlMapConfig,
    DataReaderConfig,
    ReferenceConfig,
    RewardConfig,
    TermConfig,
)


@dataclass(frozen=True)
class StepSettings:
    """The parts that a dual-path step is built of; `between` is the share of rows that lack some target."""

    train: TrainSection
    backbone: BackboneConfig
    terms: Mapping[str, TermConfig]
    reference: ReferenceConfig | None
    control_map: ControlMapConfig | None
    reward: RewardConfig | None
    between: float


@dataclass(frozen=True)
class PreparationSettings:
    """How the rows are read, and what the original model adds to them; `needs` is what the step reads.

    Without a `reader`, the first that recognises `data` reads it.
    """

    data: str | None
    reader: DataReaderConfig | None
    needs: frozenset[str]
    dataset: DatasetSection
    train: TrainSection
    counterfactuals: CounterfactualSection
    sample: SampleSection

    @property
    def drawing(self) -> SampleSection:
        """How the base model samples before training: `sample`, in at most `train.drawing_steps` steps."""
        steps = min(self.train.drawing_steps or self.sample.steps, self.sample.steps)
        return self.sample.model_copy(update={"steps": steps})

    @property
    def records_states(self) -> bool:
        """Whether some rows of a step are states of the base model's own sampling."""
        return self.train.noise_share > 0 and bool(self.needs & {"reference", "original"})

    @property
    def draws_images(self) -> bool:
        """Whether the base model draws before training: images, redrawn ones, or states of its sampling."""
        return "class_images" in self.needs or self.counterfactuals.enabled or self.records_states
