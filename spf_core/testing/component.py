"""All checks of a component, by its kind: a list of verdicts, or an error for pytest."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from spf_core.errors import ConfigError, SpfError, Unavailable
from spf_core.plugins.configs import (
    PROTOCOL_OF,
    AdapterConfig,
    BackboneConfig,
    Component,
    ControlMapConfig,
    DataReaderConfig,
    ExporterConfig,
    LossConfig,
    MetricConfig,
    OptimizerConfig,
    PresetConfig,
    PromptEditorConfig,
    ReferenceConfig,
    ResponseConfig,
    RewardConfig,
    ScoreConfig,
    SuiteConfig,
    TrackerConfig,
)
from spf_core.plugins.constructing import package_of
from spf_core.plugins.containment import place_of, reason_of
from spf_core.plugins.discovery import Plugins
from spf_core.testing import general, judging, models, optimizers, reading, steps, trackers
from spf_core.testing.subject import Check, NotApplicable, Subject, Verdict, subject_of
from spf_core.testing.tiny_models import Tiny
from spf_core.testing.training import CHECKS as _TRAINING

OF_KIND: dict[str, tuple[tuple[str, Check], ...]] = {
    "backbone": (*models.BACKBONES, *_TRAINING),
    "adapter": (*models.ADAPTERS, *_TRAINING),
    "reference": (*steps.REFERENCES, *_TRAINING),
    "control-map": (*steps.MAP, *_TRAINING),
    "response": (*steps.TERM, *_TRAINING),
    "loss": (*steps.TERM, *_TRAINING),
    "reward": (*steps.REWARDS, *_TRAINING),
    "optimizer": (*optimizers.OPTIMIZERS, *_TRAINING),
    "tracker": (*trackers.TRACKERS, *_TRAINING),
    "prompt-editor": (*models.EDITORS, *_TRAINING),
    "metric": judging.METRICS,
    "score": judging.SCORES,
    "suite": judging.SUITES,
    "exporter": judging.EXPORTERS,
    "data-reader": (*reading.READERS, *_TRAINING),
    "preset": _TRAINING,
}


def examine(subject: Subject, *, training: bool = True) -> Iterator[Verdict]:
    """The verdict of each check of the component's kind; without `training`, none of them trains."""
    checks = [each for each in OF_KIND[subject.kind] if training or each not in _TRAINING]
    for name, check in general.CHECKS:
        yield _verdict(name, check, subject)
    if subject.kind != "preset":
        built = _verdict(*general.BUILT, subject)
        yield built
        if built.state != "passed":
            yield from (Verdict(name, "not applicable", "it is not built") for name, _ in checks)
            return
    for name, check in checks:
        yield _verdict(name, check, subject)


def _verdict(name: str, check: Check, subject: Subject) -> Verdict:
    try:
        check(subject)
    except NotApplicable as reason:
        return Verdict(name, "not applicable", str(reason))
    except Unavailable as reason:
        return Verdict(name, "not applicable", str(reason))
    except (SpfError, AssertionError) as error:
        return Verdict(name, "failed", " ".join(str(error).split()) or "an assertion without a message")
    except (Exception, SystemExit) as error:
        return Verdict(name, "failed", _reason(error, subject))
    return Verdict(name, "passed")


def _reason(error: BaseException, subject: Subject) -> str:
    """What the error says and its place; without a place in the component, what to compare that with."""
    package = package_of(subject.config)
    reason = reason_of(error, package)
    if place_of(error, package) or subject.kind not in PROTOCOL_OF:
        return reason
    protocol = f"spf_core.interfaces.{PROTOCOL_OF[subject.kind]}"
    return f"{reason}; compare its methods, their parameters and what they return with {protocol}"


def check_component(
    component: Component | type[Component],
    *,
    backbone: Tiny = "sd15",
    settings: Mapping[str, Any] | None = None,
    plugins: Plugins | None = None,
    training: bool = True,
) -> list[Verdict]:
    """Run every check of the component's kind on a tiny model; see `Verdict`.

    `component` is a config class, which then has its default options, or a config. `settings` are sections of
    the configuration that its runs need besides, such as `{"adapter": "my-adapter"}`. Without `training`
    no steps are trained.
    """
    subject = subject_of(component, plugins, backbone, settings)
    try:
        return list(examine(subject, training=training))
    finally:
        subject.close()


class ContractCheck(Protocol):
    """What `check_loss` and the like are: functions that raise AssertionError with all that fails."""

    def __call__(
        self,
        component: Component | type[Component],
        *,
        backbone: Tiny = "sd15",
        settings: Mapping[str, Any] | None = None,
        training: bool = True,
    ) -> None:
        """Check the component as `spf plugins check` does; AssertionError lists what fails, and the ways out.

        `component` is a config class, which then has its default options, or a config. `backbone` names the
        tiny model. `settings` are sections of the configuration that its runs need besides, such as
        `{"adapter": "my-adapter"}`. Without `training` no steps are trained, which takes most of the time.
        ConfigError for a component of another kind.
        """


def _checker(base: type[Component]) -> ContractCheck:
    def check(
        component: Component | type[Component],
        *,
        backbone: Tiny = "sd15",
        settings: Mapping[str, Any] | None = None,
        training: bool = True,
    ) -> None:
        asked = component if isinstance(component, type) else type(component)
        if not issubclass(asked, base):
            raise ConfigError(f"{asked.__name__} is no {base.__name__}; use the check of its kind")
        subject = subject_of(component, None, backbone, settings)
        try:
            found = [each for each in examine(subject, training=training) if each.state == "failed"]
        finally:
            subject.close()
        faults = "".join(f"\n- {each.check}: {each.note}" for each in found)
        assert not found, f"{base.kind} '{asked.name}' breaks its contract:{faults}"

    return check


check_backbone = _checker(BackboneConfig)
check_adapter = _checker(AdapterConfig)
check_reference = _checker(ReferenceConfig)
check_control_map = _checker(ControlMapConfig)
check_response = _checker(ResponseConfig)
check_loss = _checker(LossConfig)
check_reward = _checker(RewardConfig)
check_optimizer = _checker(OptimizerConfig)
check_tracker = _checker(TrackerConfig)
check_prompt_editor = _checker(PromptEditorConfig)
check_metric = _checker(MetricConfig)
check_score = _checker(ScoreConfig)
check_suite = _checker(SuiteConfig)
check_exporter = _checker(ExporterConfig)
check_data_reader = _checker(DataReaderConfig)
check_preset = _checker(PresetConfig)
