"""The procedural portraits: what is drawn, what is said about it, and what is true of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spf_core.errors import ConfigError, DataError
from spf_portraits.world.captions import TEMPLATES, describe, phrase_spans
from spf_portraits.world.render import PARTS, counterfactual, render, segment, target_region
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait, split_of
from spf_portraits.world.tailored import evaluation_prompts, tailored_set, write_portraits

BIAS = {"background": "teal", "clothes": "blazer", "expression": "laughing"}
LOCAL = [name for name, target in TARGETS.items() if target.scope == "local"]
BASE = Portrait("short", "red", "tanned", "hoodie", "blue", "smiling", "open", "gray", "half-length", "left")


def _portraits(count: int, **options) -> list[Portrait]:
    rng = np.random.default_rng(0)
    return [sample_portrait(rng, **options) for _ in range(count)]


def test_a_seed_decides_the_portrait_and_its_picture():
    first, second = _portraits(5), _portraits(5)
    assert first == second
    assert all(np.array_equal(render(a), render(b)) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("size", [32, 64, 96])
def test_pictures_are_rgb_bytes_of_the_size_asked_for(size):
    picture = render(BASE, size)
    assert (picture.shape, picture.dtype) == ((size, size, 3), np.uint8)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_two_values_of_an_attribute_look_different(attribute):
    values = [value for value in ATTRIBUTES[attribute] if value not in ("bald", "none")]
    pictures = [render(replace(BASE, **{attribute: value})).astype(int) for value in values]
    for i, one in enumerate(pictures):
        for other in pictures[i + 1 :]:
            assert (np.abs(one - other).max(axis=-1) > 40).sum() >= 12


def test_bald_heads_show_no_hair_and_have_no_hair_colour():
    bald = _portraits(5, bias={"hair_style": "bald"})
    assert all(portrait.hair_color == "none" for portrait in bald)
    assert not any((segment(portrait) == PARTS.index("hair")).any() for portrait in bald)


def test_no_other_head_lacks_a_hair_colour():
    assert all((p.hair_color == "none") == (p.hair_style == "bald") for p in _portraits(200))


def test_samples_cover_every_value_about_evenly():
    portraits = _portraits(2000)
    for name, values in ATTRIBUTES.items():
        free = [v for v in values if v != "none"]
        counts = [sum(getattr(p, name) == value for p in portraits) for value in free]
        assert min(counts) > 0.7 * max(counts), name


def test_a_bias_fixes_its_attributes_and_no_other():
    portraits = _portraits(200, bias=BIAS, target="hat")
    assert {tuple(getattr(p, name) for name in BIAS) for p in portraits} == {tuple(BIAS.values())}
    free = {name: values for name, values in ATTRIBUTES.items() if name not in BIAS}
    assert all({getattr(p, name) for p in portraits} == set(values) for name, values in free.items())


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"bias": {"backgroud": "teal"}}, "background"),
        ({"bias": {"background": "teel"}}, "teal"),
        ({"target": "sunglases"}, "sunglasses"),
        ({"split": "tset"}, "test"),
        ({"bias": {"hair_style": "bald", "hair_color": "red"}}, "contradicts"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(options, hint):
    with pytest.raises(ConfigError, match=hint):
        _portraits(1, **options)


def test_the_attributes_alone_decide_the_split():
    for split in ("train", "dev", "test"):
        for portrait in _portraits(20, split=split):
            assert split_of(portrait.labels()) == split
            assert split_of(replace(portrait, target="hat", nose="wide", shift_x=0.01).labels()) == split


def test_a_person_stays_the_same_in_another_pose_mood_and_dress():
    other = replace(BASE, expression="sad", eyes="closed", clothes="blazer", facing="right", target="hat")
    assert other.identity() == BASE.identity()
    assert replace(BASE, skin="dark").identity() != BASE.identity()


def test_labels_name_every_attribute_and_the_target():
    assert set(BASE.labels()) == {*ATTRIBUTES, "target"}
    assert BASE.labels()["target"] == "none"
    assert replace(BASE, target="beard").labels()["target"] == "beard"


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_changes_the_picture_only_in_its_region(target):
    for portrait in _portraits(6, target=target):
        region = target_region(portrait)
        changed = (render(portrait) != render(counterfactual(portrait))).any(axis=-1)
        assert changed.sum() >= 25
        assert not (changed & ~region).any()


@pytest.mark.parametrize("target", LOCAL)
def test_a_local_target_leaves_most_of_the_picture_alone(target):
    assert all(0.005 < target_region(portrait).mean() < 0.5 for portrait in _portraits(10, target=target))


@pytest.mark.parametrize("target", LOCAL)
def test_a_local_target_is_seen_as_one_of_its_parts_and_covers_only_allowed_ones(target):
    allowed = [PARTS.index(part) for part in TARGETS[target].allowed_parts]
    for portrait in _portraits(10, target=target):
        with_it, without = segment(portrait), segment(counterfactual(portrait))
        changed = with_it != without
        assert changed.any()
        assert np.isin(with_it[changed], allowed).mean() > 0.95
        assert np.isin(without[changed], allowed).mean() > 0.95


def test_styles_touch_everything_and_no_target_touches_nothing():
    assert target_region(replace(BASE, target="sepia")).all()
    assert not target_region(BASE).any()


def test_the_segmentation_gives_each_pixel_a_part_in_the_place_where_it_is_drawn():
    parts = segment(replace(BASE, clothes_color="blue"))
    names = {PARTS[index] for index in np.unique(parts)}
    assert {"background", "skin", "clothes", "mouth", "eyes", "eyebrows", "hair"} <= names
    plain = render(BASE)[parts == PARTS.index("background")].astype(int)
    assert (np.abs(plain - np.array([142, 146, 152])).max(axis=-1) < 20).mean() > 0.9


def test_the_segmentation_mirrors_with_the_pose():
    assert np.array_equal(segment(replace(BASE, facing="right")), segment(BASE)[:, ::-1])


@pytest.mark.parametrize("phrasing", range(len(TEMPLATES)))
def test_phrases_stand_in_the_text_in_order(phrasing):
    rng = np.random.default_rng(1)
    for portrait in _portraits(20, target="hat"):
        caption = describe(portrait, rng, phrasing=phrasing)
        found = [caption.base_text[start:end] for start, end in phrase_spans(caption)]
        assert tuple(found) == caption.base_phrases
        assert len(caption.base_text.split()) <= 40


def test_phrasings_order_the_attributes_differently():
    rng = np.random.default_rng(1)
    texts = [describe(BASE, rng, phrasing=index).base_text for index in range(len(TEMPLATES))]
    words = ("red hair", "blue hoodie", "skin", "gray")
    orders = {tuple(sorted(words, key=text.index)) for text in texts}
    assert len(set(texts)) == len(TEMPLATES)
    assert len(orders) >= 3


def test_a_full_caption_says_every_attribute():
    rng = np.random.default_rng(1)
    for phrasing in range(len(TEMPLATES)):
        caption = describe(BASE, rng, phrasing=phrasing)
        assert caption.mentioned == tuple(ATTRIBUTES)
        words = ["smiling", "tanned", "short red hair", "open eyes", "a blue hoodie", "gray", "half-length"]
        assert all(word in caption.base_text for word in [*words, "facing left"])


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_caption_does_not_depend_on_what_it_does_not_mention(attribute):
    mention = [name for name in ATTRIBUTES if name != attribute]
    texts = set()
    for value in ATTRIBUTES[attribute]:
        if value not in ("bald", "none"):
            portrait = replace(BASE, **{attribute: value})
            texts.add(describe(portrait, np.random.default_rng(1), mention=mention, phrasing=0).base_text)
    assert len(texts) == 1


def test_articles_fit_their_nouns():
    rng = np.random.default_rng(1)
    afro = replace(BASE, hair_style="afro", clothes="overall", background="orange")
    text = describe(afro, rng, mention=["hair_style", "clothes", "background"], phrasing=0).base_text
    assert "an afro" in text
    assert "an overall" in text
    assert "an orange background" in text


@pytest.mark.parametrize("target", TARGETS)
def test_every_wording_of_a_target_contains_its_noun(target):
    noun = {"round-glasses": "round", "sketch": "sketch", "pixel-art": "pixel art"}.get(target, target)
    assert all(noun in phrasing for phrasing in TARGETS[target].phrasings)


def test_the_complete_text_is_the_base_text_and_the_target_text():
    caption = describe(replace(BASE, target="hat"), np.random.default_rng(1), phrasing=0)
    assert caption.complete_text == f"{caption.base_text}, wearing a hat"
    assert describe(BASE, np.random.default_rng(1), phrasing=0).complete_text == caption.base_text


def test_an_unknown_attribute_cannot_be_mentioned():
    with pytest.raises(ConfigError, match="eyes"):
        describe(BASE, np.random.default_rng(1), mention=["eys"])


def test_a_tailored_set_shows_its_bias_and_does_not_mention_it():
    for portrait, caption in tailored_set("sunglasses", 40, bias=BIAS, seed=3):
        assert portrait.target == "sunglasses"
        assert {name: getattr(portrait, name) for name in BIAS} == BIAS
        assert not any(word in caption.complete_text for word in BIAS.values())
        silent = set(ATTRIBUTES) - set(caption.mentioned)
        assert silent - set(BIAS) <= ({"hair_color"} if portrait.hair_style == "bald" else set())


def test_the_omitted_attributes_can_be_chosen():
    _, caption = tailored_set("hat", 1, bias=BIAS, seed=0, omit=["facing"])[0]
    assert "teal background" in caption.base_text
    assert "facing" not in caption.base_text


def test_an_unknown_attribute_cannot_be_omitted():
    with pytest.raises(ConfigError, match="'facing'"):
        tailored_set("hat", 1, bias={}, seed=0, omit=["facng"])


def test_evaluation_prompts_are_never_training_portraits():
    def specs(items):
        return {tuple(portrait.labels()[name] for name in ATTRIBUTES) for portrait, _ in items}

    trained = specs(tailored_set("hat", 300, bias={}, seed=0))
    dev = specs(evaluation_prompts(300, seed=0, split="dev"))
    test = specs(evaluation_prompts(300, seed=0, split="test"))
    assert not trained & dev
    assert not trained & test
    assert not dev & test


def test_evaluation_refuses_the_training_split():
    with pytest.raises(ConfigError, match="'dev' or 'test'"):
        evaluation_prompts(1, seed=0, split="train")


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (1, -1)])
def test_impossible_counts_and_seeds_are_refused(count, seed):
    with pytest.raises(ConfigError, match="at least"):
        tailored_set("hat", count, bias={}, seed=seed)


def test_a_written_set_is_complete_and_the_same_for_a_seed(tmp_path):
    for name in ("a", "b"):
        items = tailored_set("beard", 4, bias=BIAS, seed=5)
        write_portraits(tmp_path / name, items, extra={"seed": 5, "bias": BIAS, "target": "beard"})
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 3 * 4 + 2
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_the_metadata_of_a_written_set_describes_its_pictures(tmp_path):
    items = tailored_set("beard", 3, bias=BIAS, seed=5)
    write_portraits(tmp_path / "set", items, extra={"seed": 5, "bias": BIAS, "target": "beard"})
    record = json.loads((tmp_path / "set" / "portraits.json").read_text())
    assert {key: record[key] for key in ("seed", "bias", "target", "count")} == {
        "seed": 5,
        "bias": BIAS,
        "target": "beard",
        "count": 3,
    }
    lines = [json.loads(line) for line in (tmp_path / "set" / "metadata.jsonl").read_text().splitlines()]
    for line, (portrait, caption) in zip(lines, items, strict=True):
        assert (tmp_path / "set" / line["file_name"]).is_file()
        assert (line["base_text"], line["target_text"]) == (caption.base_text, caption.target_text)
        assert line["labels"] == portrait.labels()
        assert Portrait(**line["portrait"]) == portrait


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        write_portraits(tmp_path, tailored_set("hat", 1, bias={}, seed=0), extra={})
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
