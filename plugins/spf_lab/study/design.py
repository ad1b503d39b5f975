"""Who sees what: balanced incomplete blocks, catch trials and repeats, all from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import lcm
from typing import Literal

import numpy as np

from spf_core.errors import ConfigError
from spf_lab.study.sources import Scene

Question = Literal["original", "target", "appearance"]
Answer = Literal["left", "tie", "right"]
QUESTIONS: tuple[Question, ...] = ("original", "target", "appearance")
ORIGINAL, CORRUPTED = "(original)", "(corrupted)"
_SHARE = 10  # one catch and one repeat for this many trials


@dataclass(frozen=True)
class Picture:
    """A scene drawn by a method or the original, or its original corrupted; `draw` picks a training seed."""

    scene: int
    by: str
    draw: int = 0


@dataclass(frozen=True)
class Trial:
    """One screen. A catch has an `expected` answer; a repeat shows trial `repeats` with its sides swapped."""

    question: Question
    scene: int
    left: Picture
    right: Picture
    expected: Answer | None = None
    repeats: int | None = None

    @property
    def scored(self) -> bool:
        """Whether the answer says something about methods: neither a catch nor a repeat."""
        return self.expected is None and self.repeats is None


def design(
    scenes: Sequence[Scene], methods: Sequence[str], *, forms: int, trials: int, seed: int
) -> list[list[Trial]]:
    """The forms, one for each rater: `trials` scored ones, and for every ten a catch and a repeat.

    Within each form, and over all of them, pairs of methods, and pairs with questions, occur equally often or
    once more; no person is scored twice in a form. Raises ConfigError when there are too few people.
    """
    people = _people(scenes)
    if len(people) < 2:
        raise ConfigError(
            "a study needs images of at least 2 different prompts; keep more with spf evaluate --keep"
        )
    if trials > len(people):
        raise ConfigError(
            f"--trials {trials}: there are {len(people)} different prompts and seeds with images of all "
            f"methods; ask for at most {len(people)}, or keep more images with spf evaluate --keep"
        )
    order = np.random.default_rng([seed, 0]).permutation(len(people))
    return [
        _Former(scenes, methods, people, np.random.default_rng([seed, 1, form])).form(
            form * trials, trials, order
        )
        for form in range(forms)
    ]


def comparison(place: int, methods: Sequence[str]) -> tuple[tuple[str, str], Question]:
    """The pair and the question at a place of an endless list in which any stretch is balanced."""
    pairs = list(combinations(methods, 2))
    place %= len(pairs) * len(QUESTIONS)
    question = place + place // lcm(len(pairs), len(QUESTIONS))  # the shift: no pair keeps to one question
    return pairs[place % len(pairs)], QUESTIONS[question % len(QUESTIONS)]


class _Former:
    """Makes one form."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        methods: Sequence[str],
        people: Sequence[Sequence[int]],
        rng: np.random.Generator,
    ) -> None:
        self.scenes, self.methods, self.people, self.rng = scenes, methods, people, rng

    def form(self, start: int, count: int, order: np.ndarray) -> list[Trial]:
        extra = max(1, round(count / _SHARE))
        seen = [self.people[order[(start + place) % len(order)]] for place in range(count + extra)]
        scored = [self._scored(start + i, seen[j]) for i, j in enumerate(self.rng.permutation(count))]
        catches = [self._catch(start // _SHARE + i, seen[count + i]) for i in range(extra)]
        trials = [*scored, *catches]
        return self._with_repeats([trials[i] for i in self.rng.permutation(len(trials))], extra)

    def _scored(self, place: int, person: Sequence[int]) -> Trial:
        (one, other), question = comparison(place, self.methods)
        scene, draw = int(self.rng.choice(person)), int(self.rng.integers(2**16))
        return self._sided(question, Picture(scene, one, draw), Picture(scene, other, draw))

    def _sided(self, question: Question, one: Picture, other: Picture, *, known: bool = False) -> Trial:
        """On random sides; `known` says that `one` is the right answer."""
        if self.rng.integers(2):
            return Trial(question, one.scene, other, one, "right" if known else None)
        return Trial(question, one.scene, one, other, "left" if known else None)

    def _catch(self, place: int, person: Sequence[int]) -> Trial:
        """A trial whose answer is plain, of four kinds in turn."""
        scene = int(self.rng.choice(person))
        original = Picture(scene, ORIGINAL)
        match place % 4:
            case 0:
                return self._sided("appearance", original, Picture(scene, CORRUPTED), known=True)
            case 1:
                return self._sided("original", original, Picture(self._other(scene), ORIGINAL), known=True)
            case 2 if sure := [i for i, each in enumerate(self.scenes) if each.certain]:
                scene = int(self.rng.choice(sure))
                by = str(self.rng.choice(self.scenes[scene].certain))
                return self._sided("target", Picture(scene, by), Picture(scene, ORIGINAL), known=True)
        same = Picture(scene, str(self.rng.choice(self.methods)))
        return Trial(QUESTIONS[place // 4 % len(QUESTIONS)], scene, same, same, "tie")

    def _other(self, scene: int) -> int:
        person = self.scenes[scene].person
        return int(self.rng.choice([i for i, each in enumerate(self.scenes) if each.person != person]))

    def _with_repeats(self, trials: list[Trial], count: int) -> list[Trial]:
        """Repeat scored trials of the first third, sides swapped, among the last third."""
        early, late = max(1, len(trials) // 3), len(trials) - len(trials) // 3
        choices = [i for i in range(early) if trials[i].scored] or [
            i for i, trial in enumerate(trials) if trial.scored
        ][:1]
        chosen = self.rng.choice(choices, size=min(count, len(choices)), replace=False)
        again = [
            replace(trials[i], left=trials[i].right, right=trials[i].left, repeats=int(i)) for i in chosen
        ]
        last = [*trials[late:], *again]
        return [*trials[:late], *(last[i] for i in self.rng.permutation(len(last)))]


def _people(scenes: Sequence[Scene]) -> list[list[int]]:
    """Scenes by person, whichever target it is drawn with."""
    found: dict[tuple[str, int], list[int]] = {}
    for number, scene in enumerate(scenes):
        found.setdefault(scene.person, []).append(number)
    return list(found.values())
