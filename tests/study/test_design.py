"""Forms are balanced, catches have plain answers, repeats swap sides."""

from collections import Counter
from pathlib import Path

import pytest

from spf_core.errors import ConfigError
from spf_lab.study.design import CORRUPTED, ORIGINAL, QUESTIONS, comparison, design
from spf_lab.study.sources import Scene

METHODS = ("a", "b", "c", "d")


def scenes(count, *, targets=("hat",), certain=METHODS):
    pictures = {name: (Path("x"),) for name in METHODS}
    return [
        Scene(target, target, f"person {i}", i, Path("o"), pictures, certain)
        for target in targets
        for i in range(count)
    ]


def pair(trial):
    return frozenset((trial.left.by, trial.right.by))


@pytest.fixture(scope="module")
def forms():
    return design(scenes(70), METHODS, forms=9, trials=60, seed=3)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_stretch_of_the_endless_list_is_balanced(count):
    methods = METHODS[:count] if count < 5 else (*METHODS, "e")
    period = count * (count - 1) // 2 * 3
    for start in range(2 * period):
        cells = Counter(comparison(start + i, methods) for i in range(period))
        assert set(cells.values()) == {1}
        assert len(cells) == period


def test_every_rater_sees_pairs_and_questions_about_equally_often(forms):
    for form in forms:
        scored = [trial for trial in form if trial.scored]
        assert len(scored) == 60
        for counts, kinds in (
            (Counter(map(pair, scored)), 6),
            (Counter(trial.question for trial in scored), 3),
            (Counter((pair(trial), trial.question) for trial in scored), 18),
        ):
            assert len(counts) == kinds
            assert max(counts.values()) - min(counts.values()) <= 1


def test_all_forms_together_are_balanced_too(forms):
    cells = Counter((pair(trial), trial.question) for form in forms for trial in form if trial.scored)
    assert max(cells.values()) - min(cells.values()) <= 1
    shown = Counter(trial.scene for form in forms for trial in form if trial.scored)
    assert max(shown.values()) - min(shown.values()) <= 1


def test_nobody_is_scored_on_the_same_person_twice_whatever_the_target():
    for form in design(scenes(30, targets=("hat", "beard")), METHODS, forms=6, trials=30, seed=0):
        people = [trial.scene % 30 for trial in form if trial.scored]
        assert len(set(people)) == 30


def test_sides_are_random_and_even(forms):
    lefts = Counter(trial.left.by for form in forms for trial in form if trial.scored)
    rights = Counter(trial.right.by for form in forms for trial in form if trial.scored)
    assert all(0.4 < lefts[name] / (lefts[name] + rights[name]) < 0.6 for name in METHODS)


def test_one_in_ten_is_a_catch_whose_answer_is_plain(forms):
    kinds = Counter()
    for form in forms:
        catches = [trial for trial in form if trial.expected is not None]
        assert len(catches) == 6
        for trial in catches:
            if trial.expected == "tie":
                assert trial.left == trial.right
                kinds["identical"] += 1
                continue
            right, wrong = trial.left, trial.right
            if trial.expected == "right":
                right, wrong = wrong, right
            kinds[trial.question] += 1
            match trial.question:
                case "appearance":
                    assert (right.by, wrong.by) == (ORIGINAL, CORRUPTED)
                case "original":
                    assert (right.by, right.scene, wrong.by) == (ORIGINAL, trial.scene, ORIGINAL)
                    assert wrong.scene != trial.scene
                case "target":
                    assert right.by in METHODS
                    assert (wrong.by, wrong.scene) == (ORIGINAL, right.scene)
    assert set(kinds) == {"identical", *QUESTIONS}


def test_without_a_judge_no_catch_relies_on_the_target_being_there():
    for form in design(scenes(30, certain=()), METHODS, forms=8, trials=20, seed=0):
        catches = [trial for trial in form if trial.expected is not None]
        assert all(trial.expected == "tie" for trial in catches if trial.question == "target")


def test_repeats_swap_the_sides_of_an_early_trial_late(forms):
    for form in forms:
        repeats = [(place, trial) for place, trial in enumerate(form) if trial.repeats is not None]
        assert len({trial.repeats for _, trial in repeats}) == 6
        for place, trial in repeats:
            first = form[trial.repeats]
            assert first.scored
            assert (trial.left, trial.right, trial.question) == (first.right, first.left, first.question)
            assert place - trial.repeats > 20


def test_the_seed_decides_everything(forms):
    assert design(scenes(70), METHODS, forms=9, trials=60, seed=3) == forms
    assert design(scenes(70), METHODS, forms=9, trials=60, seed=4) != forms


def test_the_shortest_form_has_a_catch_and_a_repeat():
    (form,) = design(scenes(2), ("a", "b"), forms=1, trials=1, seed=0)
    assert sum(trial.scored for trial in form) == 1
    assert sum(trial.expected is not None for trial in form) == 1
    assert sum(trial.repeats is not None for trial in form) == 1


def test_more_trials_than_people_are_refused():
    with pytest.raises(ConfigError, match=r"--trials 31: there are 30 .*at most 30"):
        design(scenes(30, targets=("hat", "beard")), METHODS, forms=1, trials=31, seed=0)
    with pytest.raises(ConfigError, match="at least 2 different prompts"):
        design(scenes(1), METHODS, forms=1, trials=1, seed=0)
