"""Bradley-Terry and agreement against closed forms, published values and known strengths."""

import numpy as np
import pytest

from spf_lab.study import bradley_terry
from spf_lab.study.agreement import agreement, nominal_alpha, pair_table, share
from spf_lab.study.bradley_terry import LEFT, RIGHT, TIE, Comparisons, fit, maximum_likelihood


def drawn(seed, *, theta, beta=0.0, log_nu=-0.5, raters=24, trials=20, prompts=60):
    rng = np.random.default_rng(seed)
    count, size = raters * trials, len(theta)
    left = rng.integers(size, size=count)
    right = (left + rng.integers(1, size, size=count)) % size
    d = np.array(theta)[left] - np.array(theta)[right] + beta
    odds = np.exp(np.stack([d / 2, np.full(count, log_nu), -d / 2], axis=1))
    answer = (rng.random(count)[:, None] > (odds / odds.sum(1, keepdims=True)).cumsum(1)).sum(1)
    prompt = np.concatenate([rng.permutation(prompts)[:trials] for _ in range(raters)])
    names = tuple("abcdef"[:size])
    return Comparisons(names, left, right, answer, np.repeat(np.arange(raters), trials), prompt)


def answers(*rows):
    left, right, answer, rater, prompt = np.array(rows).T
    return Comparisons(("a", "b"), left, right, answer, rater, prompt)


def test_two_methods_have_the_log_odds_of_their_wins(monkeypatch):
    monkeypatch.setattr(bradley_terry, "RIDGE", 1e-6)
    counts = np.zeros((2, 2, 3))
    counts[0, 1, LEFT] = counts[1, 0, RIGHT] = 30
    counts[0, 1, RIGHT] = counts[1, 0, LEFT] = 10
    counts[0, 1, TIE] = counts[1, 0, TIE] = 20
    a, b, beta, log_nu = maximum_likelihood(counts)
    assert a - b == pytest.approx(np.log(3), abs=1e-4)
    assert a + b == pytest.approx(0, abs=1e-9)
    assert beta == pytest.approx(0, abs=1e-6)
    assert np.exp(log_nu) == pytest.approx(20 / np.sqrt(30 * 10), abs=1e-4), "nu = ties / sqrt(wins losses)"


def test_a_side_bias_alone_is_no_strength(monkeypatch):
    monkeypatch.setattr(bradley_terry, "RIDGE", 1e-6)
    counts = np.zeros((2, 2, 3))
    counts[0, 1, LEFT] = counts[1, 0, LEFT] = 40
    counts[0, 1, RIGHT] = counts[1, 0, RIGHT] = 10
    a, b, beta, _ = maximum_likelihood(counts)
    assert a == pytest.approx(b, abs=1e-6)
    assert beta == pytest.approx(np.log(4), abs=1e-3)


def test_a_method_that_always_wins_has_a_finite_strength():
    counts = np.zeros((3, 3, 3))
    counts[0, 1, LEFT] = counts[0, 2, LEFT] = counts[1, 2, LEFT] = 1000
    a, b, c, *_ = found = maximum_likelihood(counts)
    assert np.isfinite(found).all()
    assert a > b > c


def test_the_minimum_is_where_the_gradient_vanishes():
    counts = drawn(0, theta=(1, 0, -1, 0.5), beta=0.4).counts(np.ones(480))
    best = maximum_likelihood(counts)

    def loss(parameters):
        theta, (beta, log_nu) = parameters[:4], parameters[4:]
        total = bradley_terry.RIDGE / 2 * parameters @ parameters
        for left in range(4):
            for right in range(4):
                odds = np.exp(
                    [
                        (theta[left] - theta[right] + beta) / 2,
                        log_nu,
                        -(theta[left] - theta[right] + beta) / 2,
                    ]
                )
                total -= counts[left, right] @ np.log(odds / odds.sum())
        return total

    steps = 1e-4 * np.eye(6)
    slopes = [(loss(best + step) - loss(best - step)) / 2e-4 for step in steps]
    assert np.abs(slopes).max() < 1e-2


def test_known_strengths_side_bias_and_ties_lie_within_their_intervals():
    truth = {"a": 1.0, "b": 0.0, "c": -1.0}
    inside = []
    for seed in range(8):
        found = fit(drawn(seed, theta=tuple(truth.values()), beta=0.5), "b", resamples=60)
        inside += [
            found.strengths[name].ci[0] < value < found.strengths[name].ci[1] for name, value in truth.items()
        ]
        inside.append(found.beats["a"].ci[0] < 1 / (1 + np.exp(-1)) < found.beats["a"].ci[1])
        inside.append(found.left.ci[0] < 1 / (1 + np.exp(-0.5)) < found.left.ci[1])
        inside.append(found.tie.ci[0] < -0.5 < found.tie.ci[1])
        assert found.left.ci[0] > 0.5, "a bias of 0.5 shows in 480 answers"
        assert set(found.beats) == {"a", "c"}
    assert np.mean(inside) > 0.87


def test_raters_who_agree_only_with_themselves_widen_the_intervals():
    data = drawn(1, theta=(0.0, 0.0), raters=10, trials=40)
    wins = np.where(data.rater_N % 2 == 0, LEFT, RIGHT)  # every rater has one favourite, half of them each
    swapped = np.where(data.left_N == 0, wins, RIGHT - wins)
    split = Comparisons(data.methods, data.left_N, data.right_N, swapped, data.rater_N, data.prompt_N)
    width = [np.ptp(fit(each, "a", resamples=80).strengths["b"].ci) for each in (data, split)]
    assert width[1] > 2 * width[0]


def test_wilson_interval_has_its_textbook_value():
    found = share(8, 10)
    assert found.value == 0.8
    assert found.ci == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share(0, 0).value is None


def test_raw_counts_do_not_depend_on_sides():
    (row,) = pair_table(
        answers((0, 1, LEFT, 0, 0), (1, 0, RIGHT, 0, 1), (1, 0, LEFT, 0, 2), (0, 1, TIE, 0, 3))
    )
    assert (row["method"], row["against"]) == ("a", "b")
    assert (row["wins"], row["ties"], row["losses"]) == (2, 1, 1)
    assert row["win_share"]["value"] == 0.5


def test_alpha_has_the_value_of_krippendorffs_own_example():
    """Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C: 4 observers, 12 units."""
    observers = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
    units = [[row[i] for row in observers if row[i] != "."] for i in range(12)]
    assert nominal_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_full_agreement_is_one_and_coin_tosses_are_nothing():
    assert agreement(
        answers((0, 1, LEFT, 0, 0), (1, 0, RIGHT, 1, 0), (0, 1, RIGHT, 0, 1), (1, 0, LEFT, 1, 1))
    ) == (1, 2)
    assert agreement(answers((0, 1, LEFT, 0, 0), (0, 1, LEFT, 0, 1))) == (None, 0)
    rng = np.random.default_rng(0)
    tossed = [(0, 1, 2 * int(rng.integers(2)), rater, prompt) for prompt in range(400) for rater in range(2)]
    alpha, units = agreement(answers(*tossed))
    assert units == 400
    assert abs(alpha) < 0.12


def test_a_fit_that_starts_at_its_answer_finds_it_again():
    for seed in range(60):
        counts = np.random.default_rng(seed).integers(0, 3, (2, 2, 3)).astype(float)
        best = maximum_likelihood(counts)
        assert maximum_likelihood(counts, maximum_likelihood(counts, best)) == pytest.approx(best, abs=1e-6)
