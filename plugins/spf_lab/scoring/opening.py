"""A file of weights on its base model, as what an evaluation takes a run for."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from spf_core.config.loading import load_run_config, parse_component
from spf_core.config.run_config import RunConfig
from spf_core.config.sections import SampleSection
from spf_core.errors import ConfigError, RunError, short
from spf_core.interfaces import Adapter, Backbone, Detachable
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import AdapterConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, open_backbone, open_run, saved_config
from spf_lab.scoring.sources import Source

_PLAIN = "lora"  # the preset without any setting of its own for sampling
_log = logging.getLogger("spf")


class AtStrength:
    """An adapter whose strength 1 is another one of the adapter inside; satisfies `interfaces.Adapter`."""

    def __init__(self, inner: Adapter, strength: float) -> None:
        self.inner, self.factor = inner, strength
        self.scale(1.0)

    def attach(self, backbone: Backbone) -> None:
        """Attach the adapter inside."""
        self.inner.attach(backbone)

    def parameters(self) -> Any:
        """Those of the adapter inside."""
        return self.inner.parameters()

    def disabled(self) -> AbstractContextManager[None]:
        """Within the context the backbone computes exactly the original model."""
        return self.inner.disabled()

    def scale(self, strength: float) -> None:
        """Set the strength, as a multiple of the chosen one."""
        self.inner.scale(strength * self.factor)

    def state_dict(self) -> dict[str, Tensor]:
        """That of the adapter inside."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`."""
        self.inner.load_state_dict(state)


def base_config(
    plugins: Plugins,
    backbone: Mapping[str, Any],
    *,
    data: str | None = None,
    trigger: str | None = None,
    assignments: Sequence[str] = (),
) -> RunConfig:
    """The settings of files on a backbone: its usual sampling without a handover, changed by `assignments`.

    `data` is a folder of training images, where it is known; `trigger` says how its captions are read.
    ConfigError for a folder that is not there, or a wrong setting.
    """
    if data is not None and not Path(data).is_dir():
        raise ConfigError(
            f"--data {short(data, 200)}: no such folder; give one with training images, or none"
        )
    overrides: dict[str, Any] = {"backbone": backbone}
    overrides |= {} if data is None else {"data": data}
    overrides |= {} if trigger is None else {"dataset": {"trigger": trigger}}
    return load_run_config(
        plugins, preset=_PLAIN, backbone=backbone["name"], overrides=overrides, assignments=assignments
    )


@dataclass
class Base:
    """The base model of the files, loaded when the first of them needs it, and once."""

    config: RunConfig
    plugins: Plugins
    device: str = "auto"
    _loaded: list[Backbone] = field(default_factory=list)

    @property
    def backbone(self) -> Backbone:
        """The model, without any file."""
        if not self._loaded:
            self._loaded.append(open_backbone(self.config.backbone, self.device))
        return self._loaded[0]

    @contextmanager
    def opened(
        self, source: Source, *, strength: float = 1.0, handover: float | None = None
    ) -> Iterator[OpenRun]:
        """The file on the base within the context; `handover` replaces the one that the file names.

        RunError and ConfigError when the file cannot be read, or belongs to another base model.
        """
        if source.fault is not None:
            raise source.fault
        if source.kind == "run":
            yield self._run(source, strength, handover)
            return
        adapter_config = parse_component(
            self.plugins, "adapter", {"name": source.kind, "path": str(source.path)}, "adapter"
        )
        assert isinstance(adapter_config, AdapterConfig), "of that kind"
        adapter: Adapter = built(adapter_config)
        backbone = self.backbone
        try:
            attach(adapter_config, adapter, backbone)
            _warn_of_other_base(source, backbone)
            usual = 1.0 if source.handover is None else source.handover
            sample = self._sample(
                handover=usual if handover is None else handover,
                negative=source.negative or self.config.sample.negative,
            )
            config = self.config.model_copy(
                update={"adapter": adapter_config, "sample": sample, "preset": source.kind}
            )
            yield OpenRun(source.path, config, backbone, AtStrength(adapter, strength), source.sha256[:16])
        finally:
            if isinstance(adapter, Detachable):
                adapter.detach()

    def _run(self, source: Source, strength: float, handover: float | None) -> OpenRun:
        """A run has a base of its own, which must be the same; its handover and prompt editor stay."""
        opened = open_run(source.path, self.plugins, device=self.device)
        if self._loaded and opened.backbone.fingerprint() != self.backbone.fingerprint():
            raise RunError(
                f"'{source.path}' was trained on other base weights ({opened.backbone.fingerprint()}) than "
                f"those of the other files ({self.backbone.fingerprint()}); score it by itself"
            )
        own = opened.config.sample
        sample = self._sample(handover=handover or own.handover, negative=own.negative)
        names = () if self.config.data is None else ("data", "dataset", "reader")
        known = {name: getattr(self.config, name) for name in names}
        config = opened.config.model_copy(update={"sample": sample, **known})
        return replace(opened, config=config, adapter=AtStrength(opened.adapter, strength))

    def _sample(self, **own: Any) -> SampleSection:
        return self.config.sample.model_copy(update=own)


def _warn_of_other_base(source: Source, backbone: Backbone) -> None:
    trained_on = source.metadata.get("spf_backbone")
    if trained_on is not None and trained_on != backbone.fingerprint():
        _log.warning(
            "'%s' was trained on base weights with hash %s, and is measured on %s",
            source.path,
            trained_on[:16],
            backbone.fingerprint(),
        )


def backbone_of(sources: Sequence[Source], backbone: str | None, plugins: Plugins) -> Mapping[str, Any]:
    """Settings of the backbone to load: the given one, or that of a run among the files.

    ConfigError without any.
    """
    if backbone is not None:
        return {"name": backbone}
    for source in sources:
        if source.kind == "run":
            settings = saved_config(source.path, plugins).backbone.model_dump(mode="json")
            return {
                name: value for name, value in settings.items() if name != "quantize"
            }  # files need plain weights
    raise ConfigError("the files do not load a base model; name it with --backbone, as sd15 or sdxl")
