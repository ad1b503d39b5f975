"""The strength frontier: closed forms, and what an evaluation with several strengths holds."""

import json

import numpy as np
import pytest

from spf_core.errors import ConfigError
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.frontier import area_under, spi_at
from spf_lab.evaluation.run import evaluate


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def test_spi_is_interpolated_where_the_effect_first_rises_to_what_is_wanted():
    effect, spi = column(0.0, 0.4, 0.8, 0.6), column(0.0, 0.1, 0.3, 0.9)
    assert spi_at(effect, spi, 0.6)[0] == pytest.approx(0.2)
    assert spi_at(effect, spi, 0.4)[0] == pytest.approx(0.1)
    assert spi_at(effect, spi, 0.0)[0] == 0.0


def test_an_effect_never_reached_or_always_exceeded_has_no_matched_spi():
    assert np.isnan(spi_at(column(0.0, 0.3), column(0.0, 0.1), 0.5)[0])
    assert np.isnan(spi_at(column(0.6, 0.9), column(0.0, 0.1), 0.5)[0])


def test_the_area_counts_the_best_purity_at_each_effect():
    assert area_under(column(1.0), column(1.0))[0] == 1.0
    assert area_under(column(0.0, 0.5, 1.0), column(1.0, 0.8, 0.4))[0] == pytest.approx(0.5 * 0.8 + 0.5 * 0.4)
    dominated = area_under(column(0.0, 0.3, 0.5, 1.0), column(1.0, 0.1, 0.8, 0.4))[0]
    assert dominated == pytest.approx(0.6), "a point below and left of another adds nothing"


def test_replicates_are_treated_one_by_one():
    effect, spi = np.array([[0.0, 0.0], [1.0, 0.4]]), np.array([[0.0, 0.0], [0.4, 0.1]])
    found = spi_at(effect, spi, 0.5)
    assert found[0] == pytest.approx(0.2)
    assert np.isnan(found[1])


@pytest.fixture(scope="module")
def swept(shared_run, tmp_path_factory):
    open_run, plugins = shared_run
    out = tmp_path_factory.mktemp("swept") / "out"
    evaluate(open_run, plugins, EvaluationPlan(prompts=3, seeds=1, strengths=(0, 1, 0.5)), out=out)
    return json.loads((out / "results.json").read_text(encoding="utf-8")), out


def test_at_strength_0_the_model_is_the_original_exactly(swept):
    content, _ = swept
    none = content["frontier"]["points"][0]
    assert none["strength"] == 0
    assert none["delta_spi"] == {"value": 0.0, "ci": [0.0, 0.0]}
    assert none["rec"] == {"value": 100.0, "ci": [100.0, 100.0]}
    assert none["spi"] == content["spi_original"]
    assert none["hit_rate"] == content["hit_rate_original"]
    assert none["base_leak"] == content["base_leak_original"]


def test_at_strength_1_it_scores_what_the_evaluation_says(swept):
    content, _ = swept
    full = content["frontier"]["points"][-1]
    assert [point["strength"] for point in content["frontier"]["points"]] == [0, 0.5, 1]
    assert all(full[name] == content[name] for name in ("effect", "spi", "sps", "rec", "hit_rate"))


def test_rows_of_every_strength_and_a_figure_are_kept(swept):
    _, out = swept
    for name in ("pairs-x0.jsonl", "pairs-x0.5.jsonl", "pairs.jsonl"):
        assert len((out / name).read_text(encoding="utf-8").splitlines()) == 3, name
    assert (out / "frontier.png").is_file()
    assert set(json.loads((out / "results.json").read_text())["frontier"]["spi_at_effect"]) == {"0.5", "0.8"}


@pytest.mark.parametrize("strengths", [(0, -0.5), (1, 9), (1, 1), (float("nan"), 1)])
def test_strengths_that_cannot_be_are_refused_first(open_run, plugins, tmp_path, strengths, cache):
    with pytest.raises(ConfigError, match="--strengths"):
        evaluate(open_run, plugins, EvaluationPlan(strengths=strengths), out=tmp_path / "out")
    assert not list(cache.rglob("*.png"))
