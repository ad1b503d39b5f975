"""The component under test, and what a check of its contract says."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from pydantic import ValidationError

from spf_core.config.merging import SLOTS, merge
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone, StepState
from spf_core.plugins.building import built
from spf_core.plugins.configs import Component
from spf_core.plugins.discovery import Entry, Plugins, load_plugins
from spf_core.testing.states import NEEDS, state_of, tiny_backbone, tiny_config, tiny_parts
from spf_core.testing.tiny_models import Tiny, tiny_folder
from spf_core.utils.validation import explain

UNDER_TEST = "under-test"  # what messages call the provider of a class that no plugin registers


class Failure(AssertionError):  # noqa: N818 - what a check finds
    """A component breaks its contract; the message says how, and the way out."""


class NotApplicable(Exception):  # noqa: N818 - a state of affairs, not a fault
    """A check says nothing about this component; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """What a check says: `passed`, `failed` with the way out, or `not applicable` with the reason."""

    check: str
    state: Literal["passed", "failed", "not applicable"]
    note: str = ""


Check = Callable[["Subject"], None]


@dataclass
class Subject:
    """A component with its options, and the tiny run that it is tried in.

    `settings` are sections of the configuration that it needs besides, such as another adapter.
    """

    config: Component
    plugins: Plugins
    architecture: Tiny = "sd15"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of the component."""
        return self.config.kind

    @cached_property
    def folder(self) -> Path:
        """An empty folder, which is removed in the end."""
        self._kept = TemporaryDirectory(prefix="spf-check-")
        return Path(self._kept.name)

    def close(self) -> None:
        """Remove the folder."""
        if "folder" in vars(self):
            self._kept.cleanup()

    @property
    def options(self) -> dict[str, Any]:
        """The component as a configuration names it."""
        saved: dict[str, Any] = self.config.model_dump(mode="json")
        return saved

    def build(self) -> Any:
        """A new object of the component."""
        return built(self.config)

    def run_settings(self) -> dict[str, Any]:
        """Sections of a run that uses the component."""
        slots = {kind: slot for slot, kind in SLOTS.items()}
        given: dict[str, Any] = {}
        if self.kind == "loss":
            given = {"losses": {**self._other_losses, self.config.name: self._active_options}}
        elif self.kind == "response":
            given = {"response": {**self._active_options, "name": self.config.name}}
        elif self.kind in slots:
            given = {slots[self.kind]: self.options}
        elif self.kind == "reward":
            losses = self.plugins.of_kind("loss")
            reads = next(
                name for name, each in losses.items() if "reward" in getattr(each.config, "needs", ())
            )
            always = {"weight": 1.0, "start": 0.0, "stop": 1.0}
            given = {"reward": self.options, "losses": {**self._other_losses, reads: always}}
        elif self.kind == "tracker":
            given = {"train": {"trackers": [self.options]}}
        elif self.kind == "preset":
            given = {"preset": self.config.name}
        needs: frozenset[str] = getattr(self.config, "needs", frozenset())
        if "reward" in needs:
            given["reward"] = next(iter(self.plugins.of_kind("reward")), None)
        return merge(given, self.settings)

    @property
    def _active_options(self) -> dict[str, Any]:
        """The options of a term that counts in every step, wherever its schedule usually begins."""
        options = {key: value for key, value in self.options.items() if key != "name"}
        return {**options, "weight": options["weight"] or 1.0, "start": 0.0, "stop": 1.0}

    @property
    def _other_losses(self) -> dict[str, bool]:
        """The losses of the preset, switched off."""
        return dict.fromkeys(tiny_config(self.plugins, self.architecture).losses, False)

    @cached_property
    def run_config(self) -> RunConfig:
        """The configuration of five training steps with the component."""
        return tiny_config(self.plugins, self.architecture, **self.run_settings())

    def new_backbone(self) -> Backbone:
        """A backbone of its own; where that is the component, one that is built anew."""
        if self.kind == "backbone":
            return self.build()  # type: ignore[no-any-return]
        return tiny_backbone(self.architecture)

    def state(self, needs: frozenset[str] = NEEDS, **options: Any) -> StepState:
        """The state of a step, with the adapter and the reference path of the run."""
        return self.state_on(self.new_backbone(), needs, **options)

    def state_on(self, backbone: Backbone, needs: frozenset[str] = NEEDS, **options: Any) -> StepState:
        """The same around a backbone that is loaded already, on its device."""
        config = self.run_config
        if config.reference is None:
            config = config.model_copy(update={"reference": tiny_config(self.plugins).reference})
        bare = config.model_copy(update={"losses": {}, "response": None, "reward": None})
        return state_of(tiny_parts(bare, backbone), needs, **options)

    @cached_property
    def seen(self) -> StepState:
        """The state that most checks read; nobody may change it."""
        return self.state()


def subject_of(
    component: Component | type[Component],
    plugins: Plugins | None = None,
    architecture: Tiny = "sd15",
    settings: Mapping[str, Any] | None = None,
) -> Subject:
    """The component under test; a class gets its default options, and may be one that no plugin registers.

    A backbone with an option `path` is built from the tiny model of its architecture, or of `architecture`.
    ConfigError for options that must be given.
    """
    plugins = (
        Plugins(dict(loaded.entries), [], list(loaded.modules)) if (loaded := plugins) else load_plugins()
    )
    kind = component if isinstance(component, type) else type(component)
    known = plugins.entries.get(kind.name)
    if known is None:
        plugins.add(kind, UNDER_TEST, "0")
    elif known.config is not kind:
        plugins.entries[kind.name] = Entry(kind, known.provider, known.version, known.summary)
    if not isinstance(component, type):
        return Subject(component, plugins, architecture, settings or {})
    options = {}
    if kind.kind == "backbone" and "path" in kind.model_fields:
        tiny = next((each for each in get_args(Tiny) if each == kind.name), architecture)
        options["path"] = str(tiny_folder(tiny))
    return Subject(with_options(kind, options), plugins, architecture, settings or {})


def with_options(kind: type[Component], options: Mapping[str, Any]) -> Component:
    """The component with these options; ConfigError names those that are wrong or missing."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(explain(error, kind.name, kind)) from None


def as_json(value: Any) -> str:
    """The value as JSON; Failure where it cannot be."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise Failure(f"it cannot be written as JSON ({error}); use plain values") from None
