"""The suite `portraits`: unseen prompts, recognised folders, regions, and judges that see what is drawn."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from spf_core.errors import ConfigError, DataError
from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.subject import find_subject
from spf_lab.metrics.regions import local_region
from spf_portraits.judges.load import DEFAULT_FOLDER
from spf_portraits.suite import USUALLY_BIASED
from spf_portraits.world.render import counterfactual, render
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, sample_portrait

BIAS = {"background": "teal", "clothes": "blazer", "expression": "laughing"}
judged = pytest.mark.skipif(
    not (DEFAULT_FOLDER / "config.json").exists(), reason="the judges are not trained"
)


@pytest.fixture(scope="module")
def suite():
    return load_plugins().get("portraits", "suite")().build()


@pytest.fixture(scope="module")
def folder(suite, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sunglasses"
    suite.write_training_set(path, target="sunglasses", count=12, bias=BIAS, seed=0, size=64)
    return path


@pytest.fixture(scope="module")
def pairs():
    """Portraits with sunglasses, and the very same without."""
    rng = np.random.default_rng(5)
    portraits = [sample_portrait(rng, target="sunglasses", split="test") for _ in range(24)]
    return portraits, [counterfactual(portrait) for portrait in portraits]


def drawn(portraits):
    return [Image.fromarray(render(portrait)) for portrait in portraits]


def test_training_sets_are_recognised_with_target_and_bias(suite, folder):
    facts = suite.recognise(folder)
    assert (facts.target, dict(facts.bias)) == ("sunglasses", BIAS)


def test_the_target_of_a_run_is_found_from_its_training_folder(folder):
    subject = find_subject(str(folder), load_plugins())
    assert (subject.suite_name, subject.target, dict(subject.bias)) == ("portraits", "sunglasses", BIAS)
    assert len(subject.seen_texts) == 12


def test_a_folder_of_ones_own_is_not_recognised(suite, tmp_path):
    assert suite.recognise(tmp_path) is None


def test_a_damaged_record_is_one_clear_line(suite, tmp_path):
    (tmp_path / "portraits.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"portraits\.json' is damaged"):
        suite.recognise(tmp_path)


def test_no_evaluation_prompt_occurs_in_a_training_set(suite, folder):
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {json.loads(line)["base_text"] for line in lines}
    for split in ("dev", "test"):
        prompts = suite.prompts("sunglasses", 60, seed=0, split=split, avoid=trained)
        texts = [item.prompt.base_text for item in prompts]
        assert len(set(texts)) == 60
        assert not trained & set(texts)


def test_dev_and_test_prompts_differ(suite):
    dev, test = (suite.prompts("hat", 40, seed=0, split=split) for split in ("dev", "test"))
    assert not {item.prompt.base_text for item in dev} & {item.prompt.base_text for item in test}


def test_training_texts_that_match_are_avoided(suite):
    first = suite.prompts("hat", 4, seed=0, split="test")
    avoid = {first[2].prompt.base_text}
    again = suite.prompts("hat", 4, seed=0, split="test", avoid=avoid)
    assert [item.prompt.base_text for item in again][:2] == [item.prompt.base_text for item in first][:2]
    assert not avoid & {item.prompt.base_text for item in again}


def test_half_of_the_prompts_caption_everything_and_half_are_silent_on_the_usual_biases(suite):
    prompts = suite.prompts("hat", 40, seed=0, split="test")
    for item in prompts[0::2]:
        assert set(ATTRIBUTES) - set(item.mentioned) <= {"hair_color"}, "bald heads have no hair colour"
    silent = prompts[1::2]
    assert not any(set(item.mentioned) & set(USUALLY_BIASED) for item in silent)
    for name in set(ATTRIBUTES) - set(USUALLY_BIASED):
        assert 0 < sum(name in item.mentioned for item in silent) < 20, name


def test_prompts_are_deterministic_and_extend_shorter_lists(suite):
    assert suite.prompts("hat", 12, seed=3, split="test")[:5] == suite.prompts("hat", 5, seed=3, split="test")
    assert suite.prompts("hat", 5, seed=3, split="test") != suite.prompts("hat", 5, seed=4, split="test")


def test_prompts_carry_the_target_and_phrases_that_occur(suite):
    for item in suite.prompts("moustache", 10, seed=0, split="dev"):
        assert item.prompt.complete_text.endswith(TARGETS["moustache"].phrase)
        assert len(item.prompt.phrase_spans()) == len(item.prompt.base_phrases) > 0


def test_an_unknown_target_is_refused_with_a_suggestion(suite):
    with pytest.raises(ConfigError, match=r"'sunglases'.*Did you mean 'sunglasses'"):
        suite.prompts("sunglases", 1, seed=0, split="test")


def test_positives_show_the_target(suite):
    pictures = suite.positives("sunglasses", 3, seed=0, size=64)
    assert [picture.size for picture in pictures] == [(64, 64)] * 3


def test_identity_is_not_compared_where_hair_or_skin_may_change(suite):
    changing = {name for name in suite.targets if suite.changes_identity(name)}
    assert {"hat", "turban", "sketch", "sepia"} <= changing
    assert not {"sunglasses", "beard", "moustache", "freckles"} & changing


def test_the_region_covers_what_either_image_shows_of_the_allowed_parts():
    a, other = torch.zeros(1, 50, 50, dtype=torch.long), torch.zeros(1, 50, 50, dtype=torch.long)
    a[:, 10:20, 10:20], other[:, 10:20, 30:40] = 1, 1
    outside = local_region(a, other, frozenset({1}), limit=1.0).outside_NHW[0]
    assert not outside[8:22, 8:22].any()
    assert not outside[8:22, 28:42].any()
    assert outside[8:22, 23:27].all()
    assert outside[30:].all()


def test_a_region_that_outgrows_what_the_target_needs_counts_as_outside():
    a, other = torch.zeros(1, 50, 50, dtype=torch.long), torch.ones(1, 50, 50, dtype=torch.long)
    a[:, :5, :5] = 1
    outside = local_region(a, other, frozenset({1}), limit=0.1).outside_NHW[0]
    assert not outside[:8, :8].any(), "near what the original shows"
    assert outside[25:, 25:].all(), "the surplus"
    assert not local_region(a, other, frozenset({1}), limit=1.0).outside_NHW.any()


@judged
def test_the_target_is_seen_where_it_is_and_not_where_it_is_not(suite, pairs):
    with_target, without = pairs
    assert suite.target_probability(drawn(with_target), "sunglasses").mean() > 0.9
    assert suite.target_probability(drawn(without), "sunglasses").mean() < 0.1


@judged
def test_attributes_are_read_as_they_were_drawn(suite, pairs):
    _, without = pairs
    for name, probabilities in suite.attribute_probabilities(drawn(without)).items():
        truth = [ATTRIBUTES[name].index(portrait.labels()[name]) for portrait in without]
        right = (probabilities.argmax(dim=1) == torch.tensor(truth)).float().mean()
        assert right >= 0.8, name


@judged
def test_a_drawn_target_stays_in_its_region(suite, pairs):
    a, c = drawn(pairs[1]), drawn(pairs[0])
    outside = suite.region(a, c, "sunglasses").outside_NHW.numpy()
    changed = np.stack([(np.asarray(x) != np.asarray(y)).any(-1) for x, y in zip(a, c, strict=True)])
    assert (changed & outside).sum() <= 0.02 * changed.sum()
    assert outside.mean() > 0.2


@judged
def test_a_perfect_edit_is_far_closer_than_another_person(suite, pairs):
    judge = CachedSuite(suite)
    a, c = drawn(pairs[1]), drawn(pairs[0])
    others = drawn([sample_portrait(np.random.default_rng(i), split="test") for i in range(len(a))])
    region = judge.region(a, c, "sunglasses")
    for name, metric in purity_metrics(load_plugins(), suite).built.items():
        edit = metric(judge, a, c, region, "sunglasses").nanmean()
        other = metric(judge, a, others, region, "sunglasses").nanmean()
        assert edit < 0.35 * other, name


@judged
def test_a_style_has_no_region_but_keeps_its_layout(suite):
    rng = np.random.default_rng(0)
    portraits = [sample_portrait(rng, target="sepia", split="test") for _ in range(4)]
    region = suite.region(drawn(map(counterfactual, portraits)), drawn(portraits), "sepia")
    assert not region.outside_NHW.any()
    assert region.layout_NHW.all()
