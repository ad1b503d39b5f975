"""Raters' files brought together: checked against the study, withdrawn ones left out, the rule applied."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from spf_core.errors import RunError
from spf_lab.study.bradley_terry import LEFT, RIGHT, TIE, Comparisons
from spf_lab.study.design import Question
from spf_lab.study.records import ExclusionRule, Export, Key, KeyTrial, Vote, read_record

_OUTCOME = {"left": LEFT, "tie": TIE, "right": RIGHT}
_SWAPPED = {"left": "right", "tie": "tie", "right": "left"}


@dataclass(frozen=True)
class Rater:
    """One person's answers, beside the trials that they answer."""

    name: str
    answers: tuple[tuple[KeyTrial, Vote], ...]
    complete: bool

    @property
    def wrong(self) -> list[bool]:
        """For each catch trial, whether it was answered wrongly."""
        return [vote.answer != trial.expected for trial, vote in self.answers if trial.expected is not None]

    @property
    def consistent(self) -> list[bool]:
        """For each repeat, whether it does not prefer the other method.

        A tie contradicts nothing: between near equals it is a matter of luck.
        """
        again = [
            (vote.answer, self.answers[trial.repeats][1].answer)
            for trial, vote in self.answers
            if trial.repeats is not None
        ]
        return ["tie" in pair or pair[0] == _SWAPPED[pair[1]] for pair in again]

    def exclusion(self, rule: ExclusionRule) -> str | None:
        """Why the rule leaves this rater out, or None."""
        wrong, consistent = self.wrong, self.consistent
        if len(wrong) >= rule.least and mean(wrong) > rule.max_wrong:
            return f"{sum(wrong)} of {len(wrong)} catch trials wrong"
        if len(consistent) >= rule.least and mean(consistent) < rule.min_consistency:
            return f"{sum(consistent)} of {len(consistent)} repeats consistent"
        return None


@dataclass(frozen=True)
class Votes:
    """All raters of a study, and what was left out before looking at any answer."""

    raters: tuple[Rater, ...]
    files: int
    superseded: int  # earlier files of the same raters
    withdrawn: int  # raters
    simulated: bool


def read_votes(places: Sequence[Path], key: Key) -> Votes:
    """Read exports, or folders of them; RunError for one that is damaged, of another study or contradictory.

    Of several files of one rater the longest counts; a withdrawal removes them all. Simulated and real votes
    are not mixed.
    """
    exports = {file: _checked(file, key) for place in places for file in _files(place)}
    simulated = _simulated(exports)
    withdrawn = {export.rater for export in exports.values() if export.withdrawn}
    answered = {file: export for file, export in exports.items() if not export.withdrawn}
    longest: dict[str, tuple[Path, Export]] = {}
    for file, export in answered.items():
        longest[export.rater] = _longer(longest.get(export.rater, (file, export)), (file, export))
    kept = [export for name, (_, export) in sorted(longest.items()) if name not in withdrawn and export.votes]
    if not kept:
        raise RunError(
            f"no votes to analyse in {len(exports)} file(s), {len(withdrawn)} rater(s) withdrew; "
            "give the files that raters saved"
        )
    return Votes(
        tuple(_rater(export, key) for export in kept),
        files=len(exports),
        superseded=len(answered) - len(longest),
        withdrawn=len(withdrawn),
        simulated=simulated,
    )


def comparisons(raters: Sequence[Rater], key: Key, question: Question) -> Comparisons:
    """The scored answers to one question."""
    people = {(scene.base_text, scene.noise): i for i, scene in enumerate(key.scenes)}
    rows = [
        (
            key.methods.index(trial.left),
            key.methods.index(trial.right),
            _OUTCOME[vote.answer],
            number,
            people[key.scenes[trial.scene].base_text, key.scenes[trial.scene].noise],
        )
        for number, rater in enumerate(raters)
        for trial, vote in rater.answers
        if trial.scored and trial.question == question
    ]
    return Comparisons(key.methods, *np.array(rows, np.int64).reshape(-1, 5).T)


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    found = sorted(place.glob("*.json"))
    if not found:
        raise RunError(f"folder '{place}' holds no .json file; give the files that raters saved")
    yield from found


def _checked(file: Path, key: Key) -> Export:
    export = read_record(file, Export)
    if export.study != key.study:
        raise RunError(
            f"'{file}' belongs to another study ({export.study[:12]}; this one is {key.study[:12]}); "
            f"leave it out"
        )
    trials = len(key.forms[export.form]) if export.form < len(key.forms) else 0
    if [vote.trial for vote in export.votes] != list(range(min(trials, len(export.votes)))):
        raise RunError(f"'{file}' is damaged: its answers are not those of form {export.form}; leave it out")
    return export


def _simulated(exports: Mapping[Path, Export]) -> bool:
    made = [file for file, export in exports.items() if export.simulated]
    real = [file for file, export in exports.items() if not export.simulated]
    if made and real:
        raise RunError(f"'{made[0]}' is simulated, '{real[0]}' is not; analyse them apart")
    return bool(made)


def _longer(one: tuple[Path, Export], other: tuple[Path, Export]) -> tuple[Path, Export]:
    short, long = sorted((one, other), key=lambda each: len(each[1].votes))
    same_form = short[1].form == long[1].form
    if not same_form or long[1].votes[: len(short[1].votes)] != short[1].votes:
        raise RunError(
            f"'{one[0]}' and '{other[0]}' are of the same rater and contradict each other; leave one out"
        )
    return long


def _rater(export: Export, key: Key) -> Rater:
    form = key.forms[export.form]
    answers = tuple((form[vote.trial], vote) for vote in export.votes)
    return Rater(export.rater, answers, len(answers) == len(form))
