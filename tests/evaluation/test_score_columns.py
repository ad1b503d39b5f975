"""Scores beside the purity score: summarised with intervals, traced to failing pairs, written down."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from squares import Squares, quadruples, scenes

from spf_core.errors import Unavailable
from spf_core.interfaces.types import Column
from spf_core.plugins import ScoreConfig
from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.columns import compute_scores
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.score_options import choose_scores
from spf_lab.evaluation.statistics import Bootstrap, estimate

PROMPTS, SEEDS = 5, 2
ORIGINALS = scenes(PROMPTS * SEEDS, seed=1)
TUNED = [scene.but(dot=1.0) for scene in ORIGINALS]
QUADS = quadruples(ORIGINALS, TUNED, seeds=SEEDS)
DRAWS = Bootstrap(PROMPTS, resamples=200)
OWN = ("backbone-clip-i", "backbone-clip-t", "suite-fd", "suite-id", "suite-seg-cons")


def config(call, name="probe"):
    """A score's config around a function of the quadruples."""

    class Probe(ScoreConfig):
        """A score made for a test."""

        def build(self):
            def score(quads, suite, backbone):
                return call(quads)

            score.provenance = {"model": "none"}
            return score

    Probe.name = name
    return Probe()


def numbers(quads, picture=lambda quads: quads.c):
    return torch.tensor([float(np.asarray(image).mean()) for image in picture(quads)])


def compute(call, quads=QUADS, backbone=None):
    return compute_scores({"probe": config(call)}, quads, Squares(), backbone, DRAWS)


def test_a_column_is_the_mean_with_the_interval_over_prompts():
    found = compute(lambda quads: {"": Column("brightness", "higher", numbers(quads))}).columns["probe"]
    values = numbers(QUADS).double().numpy()
    assert found.to_json()["value"] == pytest.approx(values.mean())
    assert found.estimates["tuned"] == estimate(DRAWS.mean(values))
    assert found.estimates["original"] == estimate(DRAWS.mean(numbers(QUADS, lambda q: q.b).numpy()))
    assert found.pairs == PROMPTS * SEEDS


def test_every_pair_comes_with_its_own_prompt_and_all_its_pictures():
    seen = []
    compute(lambda quads: seen.append(quads) or {"": Column("x", "higher", numbers(quads))})
    tuned, original = seen
    assert (tuned.seeds, len(tuned.prompts)) == (1, PROMPTS * SEEDS)
    assert tuned.prompts[1] is QUADS.prompts[0]
    assert original.c is QUADS.b
    assert original.a is QUADS.a


def test_a_set_statistic_is_over_all_pairs_with_a_jackknife_interval():
    def spread(quads):
        values = numbers(quads)
        return {"": Column("spread", "lower", statistic=lambda places: float(values[places].std()))}

    found = compute(spread).columns["probe"]
    value, (low, high) = found.estimates["tuned"].value, found.estimates["tuned"].ci
    assert value == pytest.approx(float(numbers(QUADS).std()))
    assert low < value < high
    assert found.values == {}


def test_a_root_is_taken_of_the_mean_in_every_replicate():
    call = lambda quads: {"": Column("rms", "lower", numbers(quads).square(), root=True)}  # noqa: E731
    found = compute(call).columns["probe"].estimates["tuned"]
    squares = numbers(QUADS).double().numpy() ** 2
    assert found.value == pytest.approx(squares.mean() ** 0.5)
    assert found.ci == pytest.approx(np.sqrt(estimate(DRAWS.mean(squares)).ci))


def test_a_pair_that_makes_a_score_fail_is_named_and_the_others_count():
    broken = {id(QUADS.c[3]): "no hat", id(QUADS.c[8]): "no face"}

    def picky(quads):
        for image in quads.c:
            if id(image) in broken:
                raise ValueError(broken[id(image)])
        values = numbers(quads)
        statistic = lambda places: float(values[places].max())  # noqa: E731
        return {"": Column("x", "higher", values), "top": Column("x", "higher", statistic=statistic)}

    found = compute(picky).columns
    rest = [i for i in range(PROMPTS * SEEDS) if i not in (3, 8)]
    values = numbers(QUADS).numpy()
    for name in ("probe", "probe-top"):
        assert found[name].failed == {3: "ValueError: no hat", 8: "ValueError: no face"}
        assert found[name].pairs == len(rest)
        assert found[name].not_available is None
    assert found["probe"].estimates["tuned"].value == pytest.approx(values[rest].mean())
    assert found["probe-top"].estimates["tuned"].value == pytest.approx(values[rest].max())
    assert np.isnan(found["probe"].values["tuned"]).nonzero()[0].tolist() == [3, 8]
    assert found["probe"].to_json()["failed"] == {"3": "ValueError: no hat", "8": "ValueError: no face"}


def test_a_number_that_is_not_finite_is_a_failed_pair():
    def infinite(quads):
        values = numbers(quads)
        values[2], values[4] = torch.inf, torch.nan
        return {"": Column("x", "higher", values, failed={4: "no face"})}

    found = compute(infinite).columns["probe"]
    assert found.failed == {2: "not a finite number", 4: "no face"}
    assert np.isfinite(found.estimates["tuned"].value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Unavailable("no weights"), "no weights"),
        (RuntimeError("out\nof memory"), "it failed on every pair: RuntimeError: out of memory"),
    ],
)
def test_a_score_that_cannot_be_had_says_why_and_the_others_go_on(error, words):
    def fail(quads):
        raise error

    both = {
        "probe": config(fail),
        "sound": config(lambda quads: {"": Column("x", "higher", numbers(quads))}, "sound"),
    }
    found = compute_scores(both, QUADS, Squares(), None, DRAWS).columns
    assert found["probe"].not_available == words
    assert found["probe"].to_json() == {"value": None, "ci": [None, None], "not_available": words}
    assert found["sound"].estimates["tuned"].value is not None


def test_a_build_that_fails_is_reported_not_raised():
    class Faulty(ScoreConfig):
        """Its weights are damaged."""

        name = "faulty"

        def build(self):
            raise KeyError("layer4")

    found = compute_scores({"faulty": Faulty()}, QUADS, Squares(), None, DRAWS)
    told = found.columns["faulty"].not_available
    assert re.fullmatch(r"KeyError: 'layer4'\. See test_score_columns\.py, line \d+", told)
    assert found.models == {}


@pytest.mark.parametrize("name", OWN)
def test_scores_of_the_worlds_own_judges_know_equal_pictures(name, loaded_backbone):
    same = replace(QUADS, c=QUADS.a)
    scores = choose_scores(load_plugins(), [name])
    columns = compute_scores(scores, same, Squares(), loaded_backbone, DRAWS).columns
    alike = {"backbone-clip-i": 1, "suite-fd": 0, "suite-id": 1, "suite-seg-cons": 100}
    if name in alike:
        assert columns[name].estimates["tuned"].value == pytest.approx(alike[name], abs=1e-6)
    else:
        assert columns[f"{name}-direction"].estimates["tuned"].value == 0
    assert "judge" in columns[name].meaning or "own CLIP" in columns[name].meaning


def test_segmentation_consistency_outside_overlooks_what_the_target_may_change():
    scores = choose_scores(load_plugins(), ["suite-seg-cons"])
    columns = compute_scores(scores, QUADS, Squares(), None, DRAWS).columns
    assert columns["suite-seg-cons"].estimates["tuned"].value < 80
    assert columns["suite-seg-cons-out"].estimates["tuned"].value == 100


def test_an_evaluation_writes_scores_with_intervals_and_per_pair_numbers(shared_run, tmp_path, caplog):
    open_run, plugins = shared_run
    scores = choose_scores(plugins, ["suite-id", "backbone-clip-t", "lpips"], ["lpips.path=/nowhere/lpips"])
    evaluate(open_run, plugins, EvaluationPlan(prompts=2, seeds=2), scores=scores, out=tmp_path / "out")
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    columns = content["scores"]
    assert columns["lpips"]["not_available"] == (
        "lpips.path 'lpips' does not exist; set it to where the weights are"
    )
    assert "score 'lpips' will not be available" in caplog.text
    clip = ["backbone-clip-t", "backbone-clip-t-target", "backbone-clip-t-direction"]
    assert set(columns) == {"lpips", "suite-id", *clip}
    rows = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    for name in ("suite-id", *clip):
        assert set(rows[0]["scores"][name]) == {"tuned", "original"}
        mean = np.mean([row["scores"][name]["tuned"] for row in rows])
        assert columns[name]["value"] == pytest.approx(mean)
        assert len(columns[name]["ci"]) == 2
        assert columns[name]["better"] == "higher"
        assert set(columns[name]["original"]) == {"value", "ci"}
    assert set(content["score_models"]) == {"suite-id", "backbone-clip-t"}


def test_a_score_that_fails_on_the_original_alone_still_judges_the_tuned_model():
    def picky(quads):
        if any(image is other for image, other in zip(quads.c, quads.b, strict=True)):
            raise ValueError("no face")
        return {"": Column("x", "higher", numbers(quads))}

    found = compute(picky).columns["probe"].to_json()
    assert found["value"] == pytest.approx(float(numbers(QUADS).double().mean()))
    assert found["original"] == {"value": None, "ci": [None, None]}
