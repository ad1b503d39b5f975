"""Simulated raters of known strength: they test a study before people give their time to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spf_core.errors import RunError, unknown
from spf_core.utils.atomic import atomic_folder
from spf_lab.evaluation.purity import Floats
from spf_lab.study.design import Answer
from spf_lab.study.records import Export, Key, KeyTrial, Vote, read_key

_ANSWERS: tuple[Answer, ...] = ("left", "tie", "right")
_SWAPPED: dict[Answer, Answer] = {"left": "right", "tie": "tie", "right": "left"}


@dataclass(frozen=True)
class Behaviour:
    """How simulated raters choose: Davidson's model, and for repeats and catches what careful people do."""

    strengths: Mapping[str, float]  # log-strength of each method, 0 where not named
    side_bias: float = 0.0  # added to the log-odds of the left side
    log_nu: float = -0.5  # tendency to ties
    steadiness: float = 0.9  # chance to answer a repeat as before
    attention: float = 0.98  # chance to answer a catch trial rightly


def simulate_raters(
    study: Path, out: Path, *, behaviour: Behaviour, raters: int = 20, careless: int = 0, seed: int = 0
) -> list[Export]:
    """Write a file of votes for each simulated rater into `out`, marked as simulated; return what they hold.

    The last `careless` of the raters press buttons at random. Raises RunError when `out` is not empty,
    ConfigError for an unknown method.
    """
    key = read_key(study)
    for name in behaviour.strengths:
        if name not in key.methods:
            raise unknown("method", name, key.methods)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"output folder '{out}' is not empty; choose another with --out or delete it")
    exports = [
        simulated_export(
            key,
            number,
            behaviour,
            careless=number >= raters - careless,
            rng=np.random.default_rng([seed, number]),
        )
        for number in range(raters)
    ]
    with atomic_folder(out) as draft:
        for export in exports:
            (draft / f"votes-{export.rater}.json").write_text(export.model_dump_json(), encoding="utf-8")
    return exports


def simulated_export(
    key: Key, number: int, behaviour: Behaviour, *, careless: bool, rng: np.random.Generator
) -> Export:
    """What one simulated rater would save."""
    form, votes = number % len(key.forms), list[Vote]()
    for place, trial in enumerate(key.forms[form]):
        answer = _at_random(rng) if careless else simulated_answer(trial, votes, behaviour, rng)
        votes.append(Vote(trial=place, answer=answer, ms=int(rng.integers(1200, 9000))))
    rater = f"{number:04x}{rng.integers(2**48):012x}"
    return Export(study=key.study, rater=rater, form=form, simulated=True, votes=tuple(votes))


def simulated_answer(
    trial: KeyTrial, before: list[Vote], behaviour: Behaviour, rng: np.random.Generator
) -> Answer:
    """What a careful rater answers, having answered `before`."""
    if trial.expected is not None:
        return trial.expected if rng.random() < behaviour.attention else _at_random(rng)
    if trial.repeats is not None and rng.random() < behaviour.steadiness:
        return _SWAPPED[before[trial.repeats].answer]
    return _ANSWERS[int(rng.choice(3, p=_chances(trial, behaviour)))]


def _chances(trial: KeyTrial, behaviour: Behaviour) -> Floats:
    left, right = (behaviour.strengths.get(name, 0.0) for name in (trial.left, trial.right))
    odds = np.exp([(left - right + behaviour.side_bias) / 2, behaviour.log_nu, 0.0])
    odds[2] = 1 / odds[0]
    return np.asarray(odds / odds.sum())


def _at_random(rng: np.random.Generator) -> Answer:
    return _ANSWERS[int(rng.integers(3))]
