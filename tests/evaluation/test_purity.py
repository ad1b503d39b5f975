"""The toy cases and properties of the purity scores, on 32 x 32 fields with squared-error distance."""

from itertools import pairwise

import numpy as np
import pytest

from spf_lab.evaluation.purity import calibrated, delta_spi, effect, rec, spi, sps

RNG = np.random.default_rng(0)
PAIRS = 400
ORIGINAL, RESEED, UNRELATED = RNG.standard_normal((3, PAIRS, 32, 32))
INSIDE = np.zeros((32, 32), bool)
INSIDE[8:16, 8:24] = True
TARGET = 5.0


def edited(strength, outside=0.0, other=UNRELATED):
    """The original with the target at `strength` inside the region, blended outside towards another draw."""
    blend = np.where(INSIDE, 0.0, outside)
    field = ORIGINAL * (1 - blend) + other * blend
    return np.where(INSIDE, ORIGINAL + strength * TARGET, field)


def scores(tuned):
    """(SPI, E, SPS) with one distance, the squared error outside the region."""
    distance = ((tuned - ORIGINAL)[:, ~INSIDE] ** 2).mean()
    reseed = ((RESEED - ORIGINAL)[:, ~INSIDE] ** 2).mean()
    pollution = float(spi([calibrated(distance, reseed)]))
    shown = (tuned - ORIGINAL)[:, INSIDE].mean() / TARGET
    e = float(effect(shown, 0.0, 1.0))
    return pollution, e, float(sps(e, pollution))


@pytest.mark.parametrize(
    ("tuned", "pollution", "e", "purity"),
    [
        pytest.param(ORIGINAL, 0.0, 0.0, 0, id="a copy of the original is worth nothing"),
        pytest.param(edited(1.0), 0.0, 1.0, 100, id="a perfect local edit is worth everything"),
        pytest.param(edited(0.5), 0.0, 0.5, 67, id="half the edit"),
        pytest.param(edited(1.0, 0.5), 0.25, 1.0, 86, id="edit with half the outside blended"),
        pytest.param(edited(1.0, 0.75), 0.56, 1.0, 61, id="edit with three quarters of the outside blended"),
        pytest.param(edited(1.0, 1.0), 1.0, 1.0, 0, id="edit on an unrelated draw is worth nothing"),
        pytest.param(edited(0.02, 0.02), 0.0, 0.02, 4, id="a tiny edit with tiny pollution is no bargain"),
    ],
)
def test_toy_case(tuned, pollution, e, purity):
    found = scores(tuned)
    assert found[0] == pytest.approx(pollution, abs=0.02)
    assert found[1] == pytest.approx(e, abs=0.01)
    assert found[2] == pytest.approx(purity, abs=1.5)


def test_purity_falls_with_every_step_of_outside_blending():
    found = [scores(edited(1.0, blend)) for blend in np.linspace(0, 1, 9)]
    pollution, purity = [row[0] for row in found], [row[2] for row in found]
    assert all(later > earlier for earlier, later in pairwise(pollution) if earlier < 1)
    assert all(later < earlier for earlier, later in pairwise(purity) if earlier > 0)


def test_purity_rises_with_every_step_of_effect():
    purity = [float(sps(e, 0.3)) for e in np.linspace(0, 1, 9)]
    assert purity == sorted(purity)
    assert purity[0] == 0


def test_a_distance_larger_than_a_reseed_counts_as_a_full_loss():
    assert calibrated(7.0, 2.0) == 1.0


def test_the_determinism_floor_is_taken_off_both_distances():
    assert calibrated(0.2, 1.2, floor=0.2) == 0.0
    assert calibrated(0.7, 1.2, floor=0.2) == pytest.approx(0.5)


def test_when_reseeding_changes_nothing_only_an_unchanged_picture_is_clean():
    assert calibrated(0.0, 0.0) == 0.0
    assert calibrated(0.1, 0.0) == 1.0


def test_parts_that_do_not_apply_are_left_out_of_the_index():
    assert spi([0.2, np.nan, 0.4]) == pytest.approx(0.3)
    assert np.isnan(spi([np.nan, np.nan]))
    assert np.isnan(calibrated(np.nan, 1.0))


def test_effect_is_undefined_when_the_original_already_shows_the_target_as_well():
    assert np.isnan(effect(0.9, 0.9, 0.9))
    assert np.isnan(sps(effect(0.9, 0.9, 0.9), 0.1))


def test_effect_stays_between_none_and_full():
    assert effect(0.1, 0.3, 0.9) == 0.0
    assert effect(0.99, 0.1, 0.9) == 1.0


def test_tuning_that_changes_less_than_prompting_has_negative_excess():
    assert delta_spi(0.2, 0.5) == pytest.approx(-0.3)


def test_an_unchanged_base_picture_reconstructs_fully():
    assert rec([0.0, 0.0, np.nan]) == 100.0
    assert rec([0.5, 0.1]) == pytest.approx(70.0)


def test_scores_of_arrays_are_the_scores_of_their_elements():
    e, pollution = np.array([0.0, 0.5, 1.0]), np.array([[0.2, 0.4, 1.0], [0.0, np.nan, 0.5]])
    one_by_one = [float(sps(e[i], spi(pollution[:, i]))) for i in range(3)]
    assert sps(e, spi(pollution)).tolist() == pytest.approx(one_by_one)
