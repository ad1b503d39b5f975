"""What an evaluation found, and its files: results.json and pairs.jsonl."""

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spf_core import __version__
from spf_core.interfaces import Quadruples
from spf_core.utils.atomic import atomic_write_text
from spf_lab.evaluation.columns import Scored, ScoreTable
from spf_lab.evaluation.frontier import Frontier
from spf_lab.evaluation.leakage import Leak, Rise, flips
from spf_lab.evaluation.measure import Measurements
from spf_lab.evaluation.saved import PAIRS_FILE, RESULTS_FILE
from spf_lab.evaluation.scores import pair_pollution
from spf_lab.evaluation.statistics import Estimate

SCHEMA = 1
DIGITS = 9  # of per-pair numbers: scores computed from the rows are those of results.json
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy")


@dataclass(frozen=True)
class Results:
    """Scores of one run on one target. `label` names the world the numbers come from.

    `headline` holds at least sps, effect, spi, delta_spi, rec, hit_rate, hit_rate_original and base_leak;
    `strata` the same for the explicit and for the silent prompts alone, `ceiling` what the suite's judges say
    of a perfect edit; `parts` the calibrated pollution p_k of A to C; `flips` the shares of captioned
    attributes that change from A to C (`tuned`) and from A to A' (`reseed`); `calibration` what turns the
    rows of pairs.jsonl into scores; `scores` those of the literature beside them; `provenance` hashes, seeds,
    options and versions; `frontier` what other strengths give, if asked for.
    """

    label: str
    suite: str
    target: str
    target_text: str
    split: str
    n_prompts: int
    n_seeds: int
    allowed_attributes: tuple[str, ...]  # those the target may change; flips leave them out
    headline: Mapping[str, Estimate]
    parts: Mapping[str, Estimate]
    leakage: Mapping[str, Mapping[str, Leak]]
    flips: Mapping[str, Estimate]
    bias_rise: Mapping[str, Rise]
    caption_accuracy: Mapping[str, Estimate]
    strata: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    ceiling: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    scores: ScoreTable = field(default_factory=ScoreTable)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    frontier: Frontier | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; estimates as `{"value", "ci": [lo, hi]}`, null where not applicable."""
        scalars = ("suite", "target", "target_text", "split", "n_prompts", "n_seeds")
        return {
            "schema": SCHEMA,
            "suite_label": self.label,
            **{name: getattr(self, name) for name in scalars},
            "allowed_attributes": list(self.allowed_attributes),
            **_plain(self.headline),
            "strata": {name: _plain(values) for name, values in self.strata.items()},
            "ceiling": {name: dict(values) for name, values in self.ceiling.items()},
            "parts": _plain(self.parts),
            "flips": _plain(self.flips),
            "bias_rise": _plain(self.bias_rise),
            "caption_accuracy": _plain(self.caption_accuracy),
            "leakage": {name: _plain(row) for name, row in self.leakage.items()},
            "calibration": dict(self.calibration),
            "scores": _plain(self.scores.columns),
            "score_models": {name: dict(model) for name, model in self.scores.models.items()},
            **self.provenance,
            **({"frontier": self.frontier.to_json()} if self.frontier else {}),
        }


def environment(device: str) -> dict[str, str]:
    """Versions and kind of machine that made the numbers."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"spf": __version__, "python": platform.python_version(), **libraries, "device": device}


def pair_rows(quads: Quadruples, found: Measurements, scores: ScoreTable) -> Iterator[dict[str, Any]]:
    """One row per pair with every per-pair number, so that tables are recomputable without images."""
    pollution, tuned, reseed = pair_pollution(found), flips(found, "c"), flips(found, "a2")
    for i in range(len(quads.a)):
        item = quads.prompts[i // quads.seeds]
        yield {
            "prompt": i // quads.seeds,
            "seed": i % quads.seeds,
            "noise": quads.noise[i],
            "noise_reseed": quads.noise2[i],
            "base_text": item.prompt.base_text,
            "complete_text": item.prompt.complete_text,
            "mentioned": dict(item.mentioned),
            "tau": {role: _number(tau[i]) for role, tau in found.tau.items()},
            "spi": _number(pollution[i]),
            "region_share": _number(found.region_share[i]),
            "flips": {"tuned": _number(tuned[i]), "reseed": _number(reseed[i])},
            "distances": {name: _distances(found, name, i) for name in ("tuned", "prompted", "base")},
            "labels": {role: _labels(found, role, i) for role in ("a", "c", "a2")},
            "scores": {name: _scores(column, i) for name, column in scores.columns.items() if column.values},
        }


def write_rows(file: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write one line of JSON for each row."""
    lines = [json.dumps(row, allow_nan=False, ensure_ascii=False) for row in rows]
    atomic_write_text(file, "".join(f"{line}\n" for line in lines))


def write_results(out: Path, results: Results, rows: Iterator[dict[str, Any]]) -> None:
    """Write pairs.jsonl and results.json, the latter last: where it stands, the evaluation is complete."""
    write_rows(out / PAIRS_FILE, rows)
    text = json.dumps(results.to_json(), indent=2, allow_nan=False, ensure_ascii=False)
    atomic_write_text(out / RESULTS_FILE, text + "\n")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.to_json() for name, value in values.items()}


def _distances(found: Measurements, name: str, i: int) -> dict[str, dict[str, float | None]]:
    comparison = getattr(found, name)
    return {
        metric: {"distance": _number(values[i]), "reseed": _number(comparison.reseed[metric][i])}
        for metric, values in comparison.distances.items()
    }


def _labels(found: Measurements, role: str, i: int) -> dict[str, str]:
    read = found.probabilities[role]
    return {name: values[int(np.argmax(read[name][i]))] for name, values in found.attributes.items()}


def _scores(column: Scored, i: int) -> dict[str, float | None]:
    return {role: _number(values[i]) for role, values in column.values.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), DIGITS)


def distinct_environments(several: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The environments that several results were made in, each once."""
    found: list[Any] = []
    for results in several:
        if results["environment"] not in found:
            found.append(results["environment"])
    return found
