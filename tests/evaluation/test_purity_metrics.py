"""Which metrics make SPI and SPS: the suite's named set, whatever else is installed."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import Field
from squares import Squares, quadruples, scenes

from spf_core.errors import ConfigError
from spf_core.interfaces import PuritySet
from spf_core.plugins import MetricConfig
from spf_core.plugins.discovery import Plugins
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.metrics import comparable, purity_metrics
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.score_options import choose_scores, metric_options

COUNT = 6
PART = ("appearance", "halves")


class HalvesConfig(MetricConfig):
    """How far pictures differ, or whatever one likes."""

    name = "halves"
    factor: float = Field(1.0, gt=0, description="times the distance")

    def build(self):
        def metric(suite, first, second, region, target):
            return torch.full((len(first),), 0.5 * self.factor)

        metric.part = "appearance"
        return metric


@pytest.fixture
def more(plugins: Plugins) -> Plugins:
    """The same installation with one more package."""
    found = Plugins(dict(plugins.entries))
    found.add(HalvesConfig, "their-package", "1.0")
    return found


def results_of(run, plugins: Plugins, out: Path, *names: str, options: tuple[str, ...] = ()) -> dict:
    scores = choose_scores(plugins, names, options)
    given = metric_options(plugins, names, options)
    evaluate(run, plugins, EvaluationPlan(prompts=2, seeds=1), scores=scores, metric_options=given, out=out)
    return json.loads((out / "results.json").read_text())


def test_an_installed_metric_changes_no_purity_score_and_is_shown_beside_when_named(
    shared_run, more: Plugins, tmp_path: Path
) -> None:
    run, plugins = shared_run
    before = results_of(run, plugins, tmp_path / "before", "suite-id")
    after = results_of(run, more, tmp_path / "after", "suite-id", "halves", options=("halves.factor=3",))
    for name in ("sps", "spi", "delta_spi", "rec", "parts", "metrics", "purity", "suite_label"):
        assert before[name] == after[name], name
    assert before["purity"]["label"] == "squares-1"
    assert "halves" not in before["scores"]
    assert after["scores"]["halves"]["value"] == 1.5, "with its option"
    assert after["scores"]["halves-reseed"]["value"] == 1.5
    assert after["score_models"]["halves"]["factor"] == 3
    assert comparable(before, after)


def test_options_of_a_metric_of_the_set_make_another_score_of_another_name(
    shared_run, more: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = shared_run
    monkeypatch.setattr(Squares, "purity", PuritySet("squares-2", PART))
    usual = results_of(run, more, tmp_path / "usual", "suite-id")
    other = results_of(run, more, tmp_path / "other", "suite-id", options=("halves.factor=0.1",))
    assert usual["purity"]["metrics"] == {"appearance": {}, "halves": {}}
    assert other["purity"]["label"] == "squares-2 with halves.factor=0.1"
    assert other["suite_label"] == "squares, squares-2 with halves.factor=0.1", "wherever it is shown"
    assert not comparable(usual, other)


def test_results_are_compared_within_one_set_alone() -> None:
    def made(name: str, *metrics: str) -> dict:
        return {"purity": {"set": name, "label": name, "metrics": {each: {} for each in metrics}}}

    assert comparable(made("a", "x", "y"), made("a", "y", "x"))
    assert not comparable(made("a", "x"), made("b", "x")), "what they compute may differ"
    assert not comparable(made("a", "x"), made("a", "x", "y"))
    first_version = {"calibration": {"parts": {"x": "appearance", "y": "layout"}}}
    assert comparable(made("a", "x", "y"), first_version)
    assert not comparable(made("a", "x"), first_version), "another metric was installed then"


def test_a_metric_of_the_set_that_is_not_installed_is_named(plugins: Plugins) -> None:
    suite = SimpleNamespace(label="theirs", purity=PuritySet("theirs-1", ("appearance", "gaze")))
    with pytest.raises(ConfigError, match="set 'theirs-1' of theirs: no metric named 'gaze'"):
        purity_metrics(plugins, suite)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [("halves.factor=2", "no metric of SPI named 'halves'"), ("appearance=2", "expected appearance.OPTION")],
)
def test_an_option_that_no_metric_of_the_set_has_is_refused(
    more: Plugins, assignment: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        purity_metrics(more, Squares(), [assignment])


def test_parts_of_the_set_alone_count(more: Plugins) -> None:
    from spf_lab.evaluation.measure import measure
    from spf_lab.evaluation.scores import score
    from spf_lab.evaluation.statistics import Bootstrap

    originals = scenes(COUNT, seed=1)
    quads = quadruples(originals, [scene.but(dot=1.0, background="blue") for scene in originals])
    draws = Bootstrap(COUNT, resamples=20)
    built = dict(purity_metrics(more, Squares()).built)
    whole = score(measure(Squares(), built, quads), draws)
    one = score(measure(Squares(), {"appearance": built["appearance"]}, quads), draws)
    assert set(whole.parts) == {"appearance", "structure", "layout", "identity", "attributes"}
    assert one.headline["spi"].value == pytest.approx(one.parts["appearance"].value)
    assert replace(one.headline["spi"]) != whole.headline["spi"]
