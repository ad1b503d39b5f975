"""The run configuration: merged from preset, file, flags and `--set`, validated, frozen. Torch-free."""

import math
from typing import Any

from pydantic import (
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from spf_core.config.sections import (
    CalibrationSection,
    CheckpointSection,
    CounterfactualSection,
    DatasetSection,
    DistillationSection,
    EvaluationSection,
    SampleSection,
    Section,
    TrainSection,
)
from spf_core.config.views import PreparationSettings, StepSettings
from spf_core.plugins.configs import (
    AdapterConfig,
    BackboneConfig,
    ControlMapConfig,
    DataReaderConfig,
    LossConfig,
    Need,
    OptimizerConfig,
    PromptEditorConfig,
    ReferenceConfig,
    ResponseConfig,
    RewardConfig,
    TermConfig,
    label,
)
from spf_core.plugins.discovery import Plugins
from spf_core.utils.paths import HubPath, UserPath
from spf_core.utils.private import LOCAL, public
from spf_core.utils.yaml_text import dump_yaml


class RunConfig(Section):
    """All settings of a run. The run folder and the weights' metadata hold a copy."""

    preset: str
    data: HubPath | None = Field(None, description="Training folder, or Hugging Face dataset.")
    dataset: DatasetSection = DatasetSection()
    plugins: tuple[UserPath, ...] = Field((), description="Plugin files that this run loads.")
    backbone: SerializeAsAny[BackboneConfig]
    adapter: SerializeAsAny[AdapterConfig]
    reference: SerializeAsAny[ReferenceConfig] | None = None
    control_map: SerializeAsAny[ControlMapConfig] | None = None
    response: SerializeAsAny[ResponseConfig] | None = None
    reward: SerializeAsAny[RewardConfig] | None = None
    editor: SerializeAsAny[PromptEditorConfig] | None = None
    reader: SerializeAsAny[DataReaderConfig] | None = None
    losses: dict[str, SerializeAsAny[LossConfig]]
    train: TrainSection = TrainSection()
    counterfactuals: CounterfactualSection = CounterfactualSection()
    optimizer: SerializeAsAny[OptimizerConfig]
    checkpoint: CheckpointSection = CheckpointSection()
    evaluation: EvaluationSection = EvaluationSection()
    sample: SampleSection = SampleSection()
    calibration: CalibrationSection = CalibrationSection()
    distillation: DistillationSection = DistillationSection()

    @field_validator("losses")
    @classmethod
    def _some_loss(cls, losses: dict[str, LossConfig]) -> dict[str, LossConfig]:
        if not any(loss.weight > 0 for loss in losses.values()):
            raise ValueError("no term has a weight above 0; give at least one")
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
        if "reference" in needs and self.train.preserve_on == "own":
            needs |= {"class_images"}
        return needs

    def _who_reads(self, *needs: Need) -> str:
        """The first term with a weight, or else the control map, that declares one of the needs."""
        active: list[TermConfig | ControlMapConfig] = [
            each for each in self.terms.values() if each.weight > 0
        ]
        parts = [*active, self.control_map] if self.control_map else active
        return next(label(part) for part in parts if part.needs & set(needs))

    @property
    def draws_images(self) -> bool:
        """Whether the base model draws before training: images, redrawn ones, or states of its sampling."""
        return self.preparation.draws_images

    @property
    def drawing(self) -> SampleSection:
        """How the base model samples before training."""
        return self.preparation.drawing

    @property
    def step(self) -> StepSettings:
        """What a dual-path step is built of."""
        return StepSettings(
            train=self.train,
            backbone=self.backbone,
            terms={name: term for name, term in self.terms.items() if term.weight > 0},
            reference=self.reference,
            control_map=self.control_map,
            reward=self.reward,
            between=self.counterfactuals.between,
        )

    @property
    def preparation(self) -> PreparationSettings:
        """What is done to the training rows before the first step."""
        return PreparationSettings(
            self.data,
            self.reader,
            self.needs,
            self.dataset,
            self.train,
            self.counterfactuals,
            self.sample,
        )

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> "RunConfig":
        if self.needs & {"reference", "original"} and self.reference is None:
            raise ValueError(
                f"{self._who_reads('reference', 'original', 'map')} needs the reference path, but "
                f"`reference` is empty; set it to one of {_choices(info, 'reference')}"
            )
        if self.reference and self.reference.recorded_states:
            _refuse_texts_without_states(self.reference.name, self.train)
        if "reward" in self.needs and self.reward is None:
            raise ValueError(
                f"{self._who_reads('reward')} follows a reward, but `reward` is empty; "
                f"set it to one of {_choices(info, 'reward')}"
            )
        if "counterfactuals" in self.needs and not self.counterfactuals.enabled:
            raise ValueError(
                f"{self._who_reads('counterfactuals')} reads counterfactuals; "
                "set counterfactuals.enabled to true"
            )
        if self.dataset.buckets and self.train.release:
            raise ValueError("dataset.buckets does not go with train.release; leave one of them out")
        if "map" in self.needs and self.control_map is None:
            raise ValueError(
                f"{self._who_reads('map')} reads the control map, but `control_map` is empty; "
                f"set it to one of {_choices(info, 'control-map')}"
            )
        return self

    @model_validator(mode="after")
    def _distillable(self) -> "RunConfig":
        if not self.distillation.enabled:
            return self
        negative, editor = self.sample.negative, self.editor
        refused = {
            "sample.handover is 1, so there is no handover; set it lower": self.sample.handover == 1,
            "sample.negative=target leads away from another text after the handover": negative == "target",
            f"editor={editor and editor.name} changes texts at sampling alone": editor is not None,
            "adapter.text_encoder=true changes the texts of all sampling": self.adapter.tunes_texts,
        }
        for reason, met in refused.items():
            if met:
                raise ValueError(f"distillation: {reason}; or set distillation.enabled to false")
        return self

    @model_validator(mode="after")
    def _some_term_in_every_step(self) -> "RunConfig":
        active = [term for term in self.terms.values() if term.weight > 0]
        for start in (0.0, *sorted(term.stop for term in active)):  # where a gap may begin
            step = math.ceil(start * self.train.planned_steps)
            if step < self.train.steps and not any(term.active(self.train.progress(step)) for term in active):
                raise ValueError(
                    f"no term is active in step {step + 1} of {self.train.steps}; set the start of a term "
                    "lower or its stop higher, or leave them out"
                )
        return self

    @model_validator(mode="after")
    def _packed_weights_stay(self) -> "RunConfig":
        if self.backbone.packed and self.adapter.needs_plain_weights:
            raise ValueError(
                f"backbone.quantize packs weights that the adapter '{self.adapter.name}' reads and changes; "
                "set backbone.quantize to none, or choose an adapter that adds to them, such as a LoRA"
            )
        return self

    @model_validator(mode="after")
    def _texts_trained_where_they_can_be(self) -> "RunConfig":
        if not self.adapter.tunes_texts:
            if self.optimizer.text_encoder_learning_rate is not None:
                raise ValueError(
                    "optimizer.text_encoder_learning_rate is set, but the adapter trains no text encoder; "
                    "leave it out, or choose an adapter that does, with adapter.text_encoder=true"
                )
            return self
        for name, term in self.terms.items():
            if term.weight > 0 and term.frozen_texts:
                raise ValueError(
                    f"'{name}' needs text encoders that stay as they are; leave it out, or set "
                    "adapter.text_encoder to false"
                )
        return self

    def public_settings(self) -> dict[str, Any]:
        """The settings as plain values; what names a place on this machine is replaced by `(local)`."""
        settings: dict[str, Any] = public(self.model_dump(mode="json"))
        return settings | {"data": None if self.data is None else LOCAL}

    def dump(self, *, defaults: bool = True, started_in: str | None = None) -> str:
        """The configuration as YAML; `load_run_config` of it gives an equal configuration.

        Without `defaults`, it is short and for people: options that have their default are left out. Paths
        are written as they were given or, for a run that was `started_in` another folder, as seen from it.
        """
        values = self.model_dump(
            mode="json", exclude_defaults=not defaults, context={"started_in": started_in}
        )
        return dump_yaml({"preset": self.preset, **values})


def _choices(info: ValidationInfo, kind: str) -> str:
    """The installed components of a kind, where the configuration is resolved with plugins."""
    plugins: Plugins | None = (info.context or {}).get("plugins")
    return ", ".join(plugins.of_kind(kind)) if plugins else f"a {kind}"


def _refuse_texts_without_states(reference: str, train: TrainSection) -> None:
    """ValueError for settings with rows that a reference path does not know which runs before training."""
    if not train.noise_share:
        raise ValueError(
            f"reference={reference} needs a train.noise_share above 0: only such rows read what it keeps"
        )
    for name in ("empty_share", "caption_dropout"):
        if getattr(train, name):
            raise ValueError(f"reference={reference} knows the base texts alone; set train.{name} to 0")
