"""From pictures to scores, in a world whose judges are exact."""

import numpy as np
import pytest
from squares import Squares, quadruples, scenes

from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.leakage import bias_rises, caption_accuracy, flips, leakage_matrix
from spf_lab.evaluation.measure import measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.scores import pair_pollution, score
from spf_lab.evaluation.statistics import Bootstrap

COUNT = 40
DRAWS = Bootstrap(COUNT, resamples=500)
ORIGINALS = scenes(COUNT, seed=1)


@pytest.fixture(scope="module")
def metrics():
    return purity_metrics(load_plugins(), Squares()).built


def judged(metrics, tuned, **others):
    return measure(Squares(), metrics, quadruples(ORIGINALS, tuned, **others))


def headline(found):
    return {name: value.value for name, value in score(found, DRAWS).headline.items()}


def test_copying_the_original_scores_no_purity(metrics):
    found = headline(judged(metrics, ORIGINALS))
    assert (found["spi"], found["effect"], found["sps"], found["rec"]) == (0, 0, 0, 100)


def test_the_target_and_nothing_else_scores_full_purity(metrics):
    found = headline(judged(metrics, [scene.but(dot=1.0) for scene in ORIGINALS]))
    assert found["sps"] == pytest.approx(100, abs=0.5)
    assert found["hit_rate"] == 1
    assert found["base_leak"] == 0


def test_the_target_on_unrelated_pictures_scores_no_purity(metrics):
    unrelated = [scene.but(dot=1.0) for scene in scenes(COUNT, seed=7)]
    found = headline(judged(metrics, unrelated))
    assert found["effect"] == pytest.approx(1, abs=0.01)
    assert found["spi"] > 0.7
    assert found["sps"] < 45


def test_repainting_more_backgrounds_pollutes_more(metrics):
    def spi(share):
        blue = [s.but(dot=1.0, background="blue") if i < share * COUNT else s.but(dot=1.0)
                for i, s in enumerate(ORIGINALS)]  # fmt: skip
        return headline(judged(metrics, blue))["spi"]

    found = [spi(share) for share in (0, 0.25, 0.5, 1)]
    assert found == sorted(found)
    assert found[0] < 0.01 < 0.2 < found[-1]


def test_each_part_sees_its_own_pollution(metrics):
    other_face = {"pink": "brown", "brown": "pink"}
    found = score(judged(metrics, [s.but(dot=1.0, face=other_face[s.face]) for s in ORIGINALS]), DRAWS).parts
    assert found["identity"].value > 0.5
    assert found["layout"].value is not None
    assert found["appearance"].value == pytest.approx(0, abs=1e-6)
    assert found["attributes"].value == pytest.approx(0, abs=1e-6)


def test_a_target_that_shows_with_the_base_text_alone_is_a_leak_and_spoils_reconstruction(metrics):
    dotted = [scene.but(dot=1.0) for scene in ORIGINALS]
    found = headline(judged(metrics, dotted, tuned_base=dotted))
    assert found["base_leak"] == 1
    assert found["rec"] < 100


def test_what_prompting_pollutes_already_is_not_excess(metrics):
    blue = [scene.but(background="blue") for scene in ORIGINALS]
    found = headline(judged(metrics, [scene.but(dot=1.0) for scene in blue], prompted=blue))
    assert found["delta_spi"] == pytest.approx(0, abs=0.02)
    assert found["spi"] == pytest.approx(found["spi_original"], abs=0.02)


def test_prompting_the_original_has_the_score_of_a_tuned_model_that_draws_the_same(metrics):
    dotted = [scene.but(dot=1.0, background="blue") for scene in ORIGINALS]
    found = headline(judged(metrics, dotted, prompted=dotted))
    assert 0 < found["sps"] < 100
    assert found["sps_original"] == pytest.approx(found["sps"], abs=2)
    none = headline(judged(metrics, dotted, prompted=ORIGINALS))
    assert none["sps_original"] == pytest.approx(0, abs=0.1), "it does not draw the dot"


def test_intervals_enclose_their_values(metrics):
    half = [s.but(dot=1.0, background="blue") if i % 2 else s for i, s in enumerate(ORIGINALS)]
    for name, value in score(judged(metrics, half), DRAWS).headline.items():
        assert value.ci[0] <= value.value <= value.ci[1], name


def test_a_leak_is_named_with_its_direction_and_significance(metrics):
    blue = [scene.but(dot=1.0, background="blue") for scene in ORIGINALS]
    matrix = leakage_matrix(judged(metrics, blue), DRAWS)
    share = np.mean([scene.background != "blue" for scene in ORIGINALS])
    assert matrix["background"]["blue"].shift.value == pytest.approx(100 * share, abs=1)
    assert matrix["background"]["blue"].q < 0.01
    assert matrix["background"]["red"].leakage.value < 0
    assert matrix["shirt"]["white"].leakage.value == pytest.approx(0, abs=0.01)
    assert matrix["shirt"]["white"].q > 0.5


def test_flips_count_captioned_attributes_only(metrics):
    swapped = {"red": "green", "green": "blue", "blue": "red"}
    found = judged(metrics, [scene.but(background=swapped[scene.background]) for scene in ORIGINALS])
    shares = flips(found, "c")
    assert shares[0::2].tolist() == [0.5] * (COUNT // 2), "full captions: the background of two attributes"
    assert shares[1::2].tolist() == [0.0] * (COUNT // 2), "silent captions name the shirt alone"
    assert flips(found, "a2").mean() > 0.2


def test_caption_accuracy_compares_pictures_with_what_was_asked_for(metrics):
    prompts = Squares().prompts("dot", COUNT, seed=0, split="test")
    asked = [scene.but(**item.mentioned) for scene, item in zip(ORIGINALS, prompts, strict=True)]
    found = measure(Squares(), metrics, quadruples(asked, ORIGINALS))
    assert caption_accuracy(found, "a").mean() == 1
    assert caption_accuracy(found, "c").mean() < 0.9


def test_bias_rises_where_the_text_is_silent_on_it(metrics):
    blue = [scene.but(background="blue") for scene in ORIGINALS]
    rise = bias_rises(judged(metrics, blue), {"background": "blue"}, DRAWS)["background=blue"]
    silent = [scene.background == "blue" for scene in ORIGINALS[1::2]]
    assert rise.prompts == COUNT // 2
    assert rise.original.value == pytest.approx(100 * np.mean(silent))
    assert rise.tuned.value == 100
    assert rise.rise.value == pytest.approx(100 - 100 * np.mean(silent))


def test_the_worst_pair_is_the_one_that_changed(metrics):
    tuned = [s.but(background="green" if s.background != "green" else "red") if i == 5 else s
             for i, s in enumerate(ORIGINALS)]  # fmt: skip
    assert pair_pollution(judged(metrics, tuned)).argmax() == 5
