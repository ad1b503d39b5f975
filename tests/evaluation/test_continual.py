"""Orders and summaries of the continual protocol on numbers made up for them."""

from itertools import permutations

import numpy as np
import pytest
from squares import Squares

from spf_lab.benchmark.costs import Cost
from spf_lab.benchmark.spec import PresetEntry
from spf_lab.continual.analysis import compare, make_presets
from spf_lab.continual.collect import MATRICES, Trace
from spf_lab.continual.joint import joint_pairs
from spf_lab.continual.plan import Stages, draw_orders
from spf_lab.continual.summaries import average_effect, backward_transfer, forgetting, over_learned, slope

EFFECT = [[0.8, 0.1, 0.0], [0.9, 0.6, 0.2], [0.5, 0.7, 1.0]]  # row k: after stage k


def constant(matrix) -> np.ndarray:
    """The same numbers in the sample and in four replicates."""
    return np.repeat(np.array(matrix, np.float64)[..., None], 5, axis=-1)


def trace(name, number, effect, rec, *, noise=0.0) -> Trace:
    """A sequence whose replicates scatter by `noise`; its SPI is 1 - REC / 100 for every target."""
    rng = np.random.default_rng(number)
    order = tuple("abc")
    rec_KR = constant(rec) + noise * rng.standard_normal((3, 5)) * (np.arange(5) > 0)
    spi_KIR = np.repeat((1 - rec_KR / 100)[:, None], 3, axis=1)
    matrices = dict.fromkeys(MATRICES, constant(effect)) | {"spi": spi_KIR}
    sequence = Stages(PresetEntry(name=name, preset=name), number, order)
    joint = {"not_applicable": "no"}
    return Trace(sequence, matrices, rec_KR, joint, (Cost(1, 2.0, 3.0, 4),) * 3, {}, {}, {}, {})


def test_summaries_are_their_formulas() -> None:
    effect = constant(EFFECT)
    assert average_effect(effect) == pytest.approx(np.full(5, (0.5 + 0.7 + 1.0) / 3))
    assert forgetting(effect) == pytest.approx(np.full(5, ((0.9 - 0.5) + (0.6 - 0.7)) / 2))
    assert backward_transfer(effect) == pytest.approx(np.full(5, ((0.5 - 0.8) + (0.7 - 0.6)) / 2))
    assert over_learned(effect)[:, 0] == pytest.approx([0.8, (0.9 + 0.6) / 2, (0.5 + 0.7 + 1.0) / 3])


def test_what_was_not_judged_before_it_was_learned_counts_nowhere() -> None:
    effect = constant(EFFECT)
    effect[np.triu_indices(3, 1)] = np.nan
    assert forgetting(effect)[0] == pytest.approx(((0.9 - 0.5) + (0.6 - 0.7)) / 2)
    assert not np.isnan([average_effect(effect), backward_transfer(effect)]).any()


def test_the_slope_is_that_of_least_squares() -> None:
    values = np.random.default_rng(0).random((5, 3))
    wanted = [np.polyfit(range(5), values[:, r], 1)[0] for r in range(3)]
    assert slope(values) == pytest.approx(wanted)
    assert slope(np.array([[0.2], [0.5]])) == pytest.approx([0.3])


def test_orders_are_different_reproducible_and_extended_by_more() -> None:
    targets = ["a", "b", "c", "d"]
    few, many = draw_orders(targets, 3, 0), draw_orders(targets, 24, 0)
    assert many[:3] == few
    assert sorted(many) == sorted(permutations(targets))
    assert draw_orders(targets[::-1], 3, 0) == few, "the order in the file does not matter"
    assert draw_orders(targets, 3, 1) != few
    assert len(draw_orders(["a", "b"], 3, 0)) == 2
    firsts = [draw_orders(targets, 1, seed)[0][0] for seed in range(400)]
    assert all(60 < firsts.count(target) < 140 for target in targets)


def test_growth_is_found_where_there_is_some_and_orders_are_averaged() -> None:
    grows = [trace("lora", number, EFFECT, [90, 80, 70 - number], noise=0.5) for number in (1, 2, 3)]
    flat = [trace("spf", number, EFFECT, [90, 90, 90], noise=0.5) for number in (1, 2, 3)]
    presets = make_presets([*grows, *flat])
    found = {name: preset.to_json()["summary"] for name, preset in presets.items()}
    assert found["lora"]["rec_growth"]["value"] == pytest.approx((0.21 + 0.22 + 0.23) / 6)
    assert found["lora"]["rec_growth"]["order_sd"]["value"] == pytest.approx(0.005)
    assert found["lora"]["rec_growth"]["verdict"] == found["lora"]["spi_growth"]["verdict"] == "grows"
    assert found["spf"]["rec_growth"]["value"] == pytest.approx(0)
    assert found["spf"]["rec_growth"]["verdict"] == "does not significantly grow"
    assert found["lora"]["average_effect"]["order_sd"]["value"] == pytest.approx(0)


def test_presets_are_compared_on_the_orders_that_both_have() -> None:
    spf = [trace("spf", number, EFFECT, [90, 90, 90]) for number in (1, 2)]
    lora = [trace("lora", number, EFFECT, [90, 80, 60 - 10 * number]) for number in (2, 3)]
    found = {each["measure"]: each for each in compare(make_presets([*spf, *lora]), "spf")}
    assert found["final_rec"]["orders"] == ["order-2"]
    assert found["final_rec"]["difference"]["value"] == pytest.approx(90 - 40)
    assert found["rec_growth"]["difference"]["value"] == pytest.approx(-0.25)
    assert found["average_effect"]["difference"] == {"value": 0, "ci": [0, 0]}
    assert compare(make_presets(lora), "spf") == []


def test_a_suite_that_does_not_say_what_goes_together_gives_no_joint_rate() -> None:
    assert joint_pairs(Squares(), ("dot", "line")) == (
        [],
        "the suite does not say which of its targets one picture can show",
    )


def test_a_single_order_has_no_spread() -> None:
    (preset,) = make_presets([trace("spf", 1, EFFECT, [90, 90, 90])]).values()
    assert preset.to_json()["summary"]["final_rec"]["order_sd"] == {"value": None, "ci": [None, None]}
