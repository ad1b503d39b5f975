"""Calls of a score on all pairs, also when some pairs make it fail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from spf_core.errors import SpfError, Unavailable
from spf_core.interfaces import Backbone, Column, Quadruples, Score, Suite
from spf_core.interfaces.types import columns_of
from spf_core.plugins.containment import place_of
from spf_core.utils.private import without_places


def flat(quads: Quadruples) -> Quadruples:
    """The same lists, with a prompt for every pair."""
    prompts = tuple(item for item in quads.prompts for _ in range(quads.seeds))
    return replace(quads, prompts=prompts, seeds=1)


def at_pairs(quads: Quadruples, places: Sequence[int]) -> Quadruples:
    """The pairs at `places` of flat quadruples, without a re-run."""
    lists = ("a", "b", "c", "d", "a2")
    chosen: dict[str, Any] = {name: [getattr(quads, name)[i] for i in places] for name in lists}
    for name in ("prompts", "noise", "noise2"):
        chosen[name] = tuple(getattr(quads, name)[i] for i in places)
    return replace(quads, **chosen, rerun=[])


@torch.no_grad()
def call_score(score: Score, pairs: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
    """The score's columns over all pairs; those it fails on are traced, named and left out."""
    everything = range(len(pairs.a))
    try:
        return columns_of(score(pairs, suite, backbone))
    except Unavailable:
        raise
    except (Exception, SystemExit):
        faults = _faults(
            lambda at: columns_of(score(at_pairs(pairs, at), suite, backbone)), everything, score
        )
    usable = [place for place in everything if place not in faults]
    if not usable:
        raise Unavailable(f"it failed on every pair: {next(iter(faults.values()))}")
    found = score(at_pairs(pairs, usable), suite, backbone)
    return {key: _spread(column, usable, faults) for key, column in found.items()}


def _faults(call: Callable[[Sequence[int]], object], places: Sequence[int], score: Score) -> dict[int, str]:
    """The pairs that a call fails on, by halving; place -> reason."""
    try:
        call(places)
        return {}
    except (Exception, SystemExit) as error:
        if len(places) == 1:
            return {places[0]: one_line(error, score)}
    middle = len(places) // 2
    return _faults(call, places[:middle], score) | _faults(call, places[middle:], score)


def _spread(column: Column, usable: Sequence[int], faults: Mapping[int, str]) -> Column:
    """A column over the usable pairs as one over all of them."""
    values_N, statistic = None, column.statistic
    if column.values_N is not None:
        values_N = torch.full((len(usable) + len(faults),), torch.nan, dtype=torch.float64)
        values_N[list(usable)] = column.values_N.double().cpu()
    if statistic is not None:
        inner, place_in = statistic, {place: number for number, place in enumerate(usable)}

        def statistic(places: torch.Tensor) -> float:
            return inner(torch.tensor([place_in[int(place)] for place in places]))

    failed = {usable[place]: reason for place, reason in column.failed.items()}
    return replace(column, values_N=values_N, statistic=statistic, failed={**failed, **faults})


def one_line(error: BaseException, score: object = None) -> str:
    """One line without folders, as results are passed on; of an error that is not ours, its kind and place.

    The place is the last line of the package of `score` that the error came through.
    """
    message = without_places(" ".join(str(error).split()))[:300] or "no message"
    if isinstance(error, SpfError):
        return message
    return f"{type(error).__name__}: {message}{place_of(error, type(score).__module__.partition('.')[0])}"
