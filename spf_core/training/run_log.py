"""metrics.jsonl: one line a step, readable while the run goes on."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from spf_core.interfaces.types import LossReport
from spf_core.training.nan_guard import Where
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.json_text import NotJsonError, parse_json

METRICS_FILE = "metrics.jsonl"


class _Term(BaseModel):
    """A loss term of a step."""

    weighted: float


class _Line(BaseModel):
    """What is read of a line again."""

    model_config = ConfigDict(strict=True)
    step: int
    loss: float
    terms: dict[str, _Term]
    seconds: float
    peak_memory_mib: float
    preparation_seconds: float = 0.0


class Passed(NamedTuple):
    """The numbers of a forward pass: raw terms, the map's mean, and where they were found."""

    values: dict[str, float]
    map_mean: float | None
    where: Where


def passed_of(report: LossReport, where: Where) -> Passed:
    """The report as numbers, its raw terms with a single transfer from the device."""
    values = torch.stack([value.detach().float() for value in report.raw.values()]).tolist()
    map_mean = None if report.map_mean is None else float(report.map_mean)
    return Passed(dict(zip(report.raw, values, strict=True)), map_mean, where)


def mean_passes(passed: Sequence[Passed]) -> Passed:
    """The mean over processes, each of which has the same terms; where it was found is the first one's."""
    values = {name: fmean(each.values[name] for each in passed) for name in passed[0].values}
    maps = [each.map_mean for each in passed if each.map_mean is not None]
    return Passed(values, fmean(maps) if maps else None, passed[0].where)


def terms_line(passed: Passed, weights: Mapping[str, float]) -> dict[str, Any]:
    """What a line says of the objective: the sum, each term raw and weighted, and the map's mean."""
    weighted = {name: weights[name] * value for name, value in passed.values.items()}
    return {
        "loss": sum(weighted.values()),
        "terms": {name: {"raw": raw, "weighted": weighted[name]} for name, raw in passed.values.items()},
        "map_mean": passed.map_mean,
    }


class RunLog:
    """Appends one JSON line a step; opening it at a step drops the lines written after that step."""

    def __init__(self, run: Path, *, first_step: int) -> None:
        self.path = run / METRICS_FILE
        kept = [line for line in read_metrics(run) if line["step"] <= first_step]
        atomic_write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, line: dict[str, Any]) -> None:
        """Append one step."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_metrics(run: Path, *, most: int | None = None) -> list[dict[str, Any]]:
    """All whole lines of a run's metrics; what a kill or a damage left of others is skipped.

    With `most`, at most about so many of them, evenly apart, and always the last.
    """
    path, lines = run / METRICS_FILE, list[dict[str, Any]]()
    texts = path.read_bytes().rstrip(b"\n").split(b"\n") if path.is_file() else []
    for text in texts if most is None else texts[:: -max(1, -(-len(texts) // most))][::-1]:
        with suppress(NotJsonError, ValidationError):
            line = parse_json(text, finite=False)
            _Line.model_validate(line)
            lines.append(line)
    return lines
