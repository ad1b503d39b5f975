"""Intervals cover, clusters count as clusters, and tests find what is there and nothing else."""

import numpy as np
import pytest

from spf_lab.evaluation.purity import calibrated
from spf_lab.evaluation.statistics import (
    Bootstrap,
    Exchanges,
    estimate,
    exchange_p,
    holm,
    q_values,
    sign_flip_p,
)


def test_the_interval_of_a_mean_matches_the_normal_theory():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    found = estimate(Bootstrap(400).mean(values))
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.ci == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_seeds_of_one_prompt_are_not_counted_as_independent():
    per_prompt = np.random.default_rng(1).normal(size=50)
    once = estimate(Bootstrap(50).mean(per_prompt))
    copied = estimate(Bootstrap(50).mean(np.repeat(per_prompt, 4)))
    assert copied.ci == pytest.approx(once.ci)


def test_ratios_are_recomputed_inside_each_replicate():
    reseed = np.random.default_rng(2).uniform(0.5, 5.0, 60)
    draws = Bootstrap(60)
    found = estimate(calibrated(draws.mean(reseed / 2), draws.mean(reseed)))
    assert found.value == pytest.approx(0.5)
    assert found.ci == pytest.approx((0.5, 0.5))


def test_missing_pairs_are_left_out_of_the_mean():
    found = estimate(Bootstrap(3).mean([1.0, np.nan, 3.0, 5.0, np.nan, np.nan]))
    assert found.value == pytest.approx(3.0)


def test_a_statistic_without_any_pair_is_reported_as_absent():
    found = estimate(Bootstrap(2).mean([np.nan, np.nan]))
    assert found.to_json() == {"value": None, "ci": [None, None]}


def test_the_same_seed_gives_the_same_interval():
    values = np.arange(20.0)
    assert estimate(Bootstrap(20, seed=3).mean(values)) == estimate(Bootstrap(20, seed=3).mean(values))


def test_deviation_is_that_of_the_sample():
    values = np.random.default_rng(3).normal(size=80)
    assert Bootstrap(40).deviation(values)[0] == pytest.approx(values.std())


def test_few_prompts_are_tested_exactly():
    assert sign_flip_p([[1.0, 2.0, 3.0, 4.0]], prompts=4)[0] == pytest.approx(2 / 16)


def test_a_real_shift_is_found_and_noise_is_not():
    noise = np.random.default_rng(4).normal(size=(2, 60))
    p = sign_flip_p(noise + np.array([[1.0], [0.0]]), prompts=30)
    assert p[0] < 0.001
    assert p[1] > 0.05


def test_one_prompt_proves_nothing():
    assert sign_flip_p([[3.0, 3.0]], prompts=1).tolist() == [1.0]


def test_q_values_correct_for_many_tests():
    q = q_values([0.01, 0.04, 0.03, 0.5])
    assert q.tolist() == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_few_prompts_are_exchanged_in_every_way():
    exchanges = Exchanges(3)
    first, second = (arm.mean([5.0, 6.0, 7.0, 1.0, 1.0, 1.0]) for arm in (exchanges.first, exchanges.second))
    assert exchange_p(first - second) == pytest.approx(2 / 8)


def test_exchanges_agree_with_sign_flips_on_means():
    values = np.random.default_rng(5).normal(0.3, 1.0, (2, 40))
    exchanges = Exchanges(40)
    first, second = (arm.mean(values.reshape(-1)) for arm in (exchanges.first, exchanges.second))
    assert exchange_p(first - second) == pytest.approx(sign_flip_p([values[0] - values[1]], 40)[0], abs=0.02)


def test_a_difference_that_does_not_apply_has_no_p():
    assert exchange_p([np.nan, 1.0]) is None


def test_holm_steps_down_and_leaves_out_what_does_not_apply():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
