"""Several runs on one backbone: the first as it is, low-rank updates of the others added to its layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, RunError
from spf_core.interfaces import Adapter, Backbone, LowRank, LowRankUpdate
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, open_run, saved_config, trained_weights


@dataclass
class _Added:
    """One run's updates by layer, and how strongly they count now."""

    updates: Mapping[str, LowRankUpdate]
    strength: float = 1.0


class Composition:
    """Adapters side by side, each at a strength of its own; what sampling needs of `interfaces.Adapter`.

    An update at strength 0 is left out, so that the others are exactly what they are without it.
    """

    def __init__(self, first: Adapter, strengths: Sequence[float]) -> None:
        self.first, self.strengths = first, tuple(strengths)
        self._added: list[_Added] = []
        self._enabled = True

    def add(self, updates: Mapping[str, LowRankUpdate], backbone: Backbone) -> None:
        """Let the backbone's layers add one more run's updates; RunError for a layer that it lacks."""
        added = _Added(updates)
        self._added.append(added)
        pipeline = backbone.pipeline()
        for key, update in updates.items():
            part, _, name = key.partition(".")
            of_denoiser = part == backbone.denoiser_name
            model: nn.Module = backbone.denoiser if of_denoiser else getattr(pipeline, part)
            here = LowRankUpdate(update.down.to(backbone.device), update.up.to(backbone.device), update.scale)
            try:
                model.get_submodule(name).register_forward_hook(partial(self._hook, added, here))
            except AttributeError:
                raise RunError(
                    f"the base model has no layer '{key}'; combine runs of one base model"
                ) from None

    def _hook(
        self, added: _Added, update: LowRankUpdate, layer: nn.Module, inputs: tuple[Tensor], output: Tensor
    ) -> Tensor:
        if not self._enabled or added.strength == 0:
            return output
        change = low_rank_change(layer, update, inputs[0].to(update.down.dtype))
        return (output + change * (added.strength * update.scale)).to(output.dtype)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        before, self._enabled = self._enabled, False
        try:
            with self.first.disabled():
                yield
        finally:
            self._enabled = before

    def scale(self, strength: float) -> None:
        """Every run at `strength` times its own strength."""
        first, *others = self.strengths
        self.first.scale(strength * first)
        for added, own in zip(self._added, others, strict=True):
            added.strength = strength * own


def low_rank_change(layer: nn.Module, update: LowRankUpdate, x: Tensor) -> Tensor:
    """`up down x`, not scaled; a convolution strides and pads as its layer does."""
    if update.down.ndim == 2:
        return F.linear(F.linear(x, update.down), update.up)
    convolution: Any = getattr(layer, "base_layer", layer)
    inner = F.conv2d(x, update.down, stride=convolution.stride, padding=convolution.padding)
    return F.conv2d(inner, update.up)


def open_runs(
    runs: Sequence[Path], strengths: Sequence[float], plugins: Plugins, *, device: str = "auto"
) -> OpenRun:
    """Load several runs onto one backbone, each at its own strength; sampling options are the first run's.

    The handover is the earliest of all, so that no target comes too late. RunError when they were trained on
    different base models, or more than one is no low-rank update; ConfigError for too few or many strengths.
    """
    if len(strengths) != len(runs):
        raise ConfigError(
            f"{len(strengths)} strengths for {len(runs)} runs; give one for each, as in --strength 0.8,1"
        )
    whole = _attached_as_it_is(runs, plugins)
    refuse_other_bases(runs)
    updates: dict[int, Mapping[str, LowRankUpdate]] = {}
    configs: dict[int, RunConfig] = {}
    for place, run in enumerate(runs):
        if place != whole:
            updates[place], configs[place] = _updates_of(run, plugins)
    opened = open_run(runs[whole], plugins, device=device)
    configs[whole] = opened.config
    order = [whole, *updates]
    composition = Composition(opened.adapter, [strengths[place] for place in order])
    for found in updates.values():
        composition.add(found, opened.backbone)
    composition.scale(1.0)
    return replace(
        opened,
        path=runs[0],
        config=_joint_config([configs[place] for place in range(len(runs))]),
        adapter=cast(Adapter, composition),
    )


def refuse_other_bases(runs: Sequence[Path]) -> None:
    """RunError when the runs were trained on different base models."""
    bases = [trained_weights(run)[1].get("spf_backbone") for run in runs]
    for run, base in zip(runs, bases, strict=True):
        if base != bases[0]:
            raise RunError(
                f"'{runs[0]}' and '{run}' were trained on different base models ({bases[0]} and {base}); "
                "runs must have the same base model"
            )


def _attached_as_it_is(runs: Sequence[Path], plugins: Plugins) -> int:
    """The one run that is no low-rank update, or the first; RunError when there are several of that kind."""
    adapters = [saved_config(run, plugins).adapter for run in runs]
    whole = [place for place, each in enumerate(adapters) if not isinstance(built(each), LowRank)]
    if len(whole) > 1:
        first, second = (runs[place] for place in whole[:2])
        raise RunError(
            f"'{first}' and '{second}' both trained whole weights ({adapters[whole[0]].name} and "
            f"{adapters[whole[1]].name}); only low-rank runs can be combined with another"
        )
    return whole[0] if whole else 0


def _updates_of(run: Path, plugins: Plugins) -> tuple[Mapping[str, LowRankUpdate], RunConfig]:
    """A run's updates; its own copy of the base model is dropped again."""
    opened = open_run(run, plugins, device="cpu")
    adapter: Any = opened.adapter
    try:
        return adapter.updates(), opened.config
    except RunError as error:
        raise RunError(
            f"'{run}' is no plain low-rank update ({error}); it can only be the first --run"
        ) from None


def _joint_config(configs: Sequence[RunConfig]) -> RunConfig:
    first = configs[0]
    if any(config.editor != first.editor for config in configs):
        raise ConfigError(
            "the runs have different prompt editors, and an image has one; sample them separately"
        )
    handover = max(config.sample.handover for config in configs)
    return first.model_copy(update={"sample": first.sample.model_copy(update={"handover": handover})})
