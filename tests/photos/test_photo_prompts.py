"""The suite's prompts: balanced, apart from each other, and silent on what a target may change."""

from collections import Counter

import pytest

from spf_core.data.prompt_files import read_prompts
from spf_core.errors import ConfigError
from spf_photos.attributes import ATTRIBUTES, NAMED
from spf_photos.options import PhotosConfig
from spf_photos.prompts import portrait_prompts


@pytest.mark.parametrize(("split", "count"), [("test", 200), ("dev", 40)])
def test_prompts_at_even_places_name_everything_and_the_others_not(split: str, count: int) -> None:
    prompts = portrait_prompts(split)
    assert len(prompts) == count
    assert len({item.text() for item in prompts}) == count
    for place, item in enumerate(prompts):
        named = item.mentioned()
        assert all(value in ATTRIBUTES[name] for name, value in named.items())
        assert (set(named) == set(NAMED)) == (place % 2 == 0)
        assert not set("{}|=") & set(item.text())
        assert "  " not in item.text()


def test_values_are_balanced() -> None:
    named = [item.mentioned() for item in portrait_prompts("test")]
    for name in NAMED:
        counts = Counter(each[name] for each in named if name in each)
        assert set(counts) == set(ATTRIBUTES[name]) or name == "medium"
        assert max(counts.values()) <= 1.5 * min(counts.values()), (name, counts)


def test_splits_share_no_prompt() -> None:
    test, dev = ({item.text() for item in portrait_prompts(split)} for split in ("test", "dev"))
    assert not test & dev


def test_a_prompt_does_not_name_what_the_target_may_change() -> None:
    """Else "with grey hair, red hair" would ask for both."""
    suite = PhotosConfig().build().for_target("red hair")
    found = suite.prompts("red hair", 200, seed=0, split="test")
    assert all("hair_color" not in item.mentioned for item in found)
    colours = ("black hair", "brown hair", "blonde hair", "red hair", "grey hair", "curly grey", "wavy red")
    assert not [item for item in found if any(each in item.prompt.base_text for each in colours)]
    assert all(item.prompt.complete_text.endswith(", red hair") for item in found)
    assert len({item.prompt.base_text for item in found}) > 150


@pytest.mark.parametrize(
    "gone", [("gender",), ("age", "gender"), ("hair_color", "hair_length", "hair_style"), NAMED]
)
def test_a_prompt_stays_a_sentence_without_some_attributes(gone: tuple[str, ...]) -> None:
    for item in portrait_prompts("test"):
        text = item.text(gone)
        assert text[0].isupper()
        assert " of a" in text
        assert not text.endswith((",", " with", " and", ": "))
        assert " with," not in text
        assert "and hair" not in text
        assert not {"woman", "man"} & set(text.split()) or "gender" not in gone


def test_what_training_saw_is_left_out_and_the_order_kept() -> None:
    suite = PhotosConfig().build().for_target("wearing a hat")
    first = suite.prompts("wearing a hat", 6, seed=0, split="dev")
    assert suite.prompts("wearing a hat", 4, seed=0, split="dev") == first[:4]
    rest = suite.prompts("wearing a hat", 4, seed=0, split="dev", avoid=[first[1].prompt.base_text])
    assert first[1] not in rest
    assert [len(item.mentioned) for item in rest][::2] == [len(item.mentioned) for item in first][:4:2]
    with pytest.raises(ConfigError, match=r"60 prompts.*40 of split 'dev'.*--prompts FILE"):
        suite.prompts("wearing a hat", 60, seed=0, split="dev")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "one\n\ntwo\none\n"),
        ("p.jsonl", '{"prompt": "one"}\n{"prompt": "two", "more": 1}\n'),
        ("p.csv", "prompt,note\none,x\ntwo,\n"),
    ],
)
def test_prompts_of_a_file_in_three_formats(tmp_path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_prompts(tmp_path / name) == ("one", "two")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.txt", b"\n \n", "no prompts"),
        ("p.txt", b"\xff\xfe", "UTF-8"),
        ("p.txt", b"a\0b", "NUL"),
        ("p.jsonl", b'{"text": "one"}\n', "row 1 has no text 'prompt'"),
        ("p.jsonl", b"{", "JSON"),
        ("p.csv", b"text\none\n", "prompt"),
    ],
)
def test_a_file_without_prompts_is_refused(tmp_path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_prompts(tmp_path / name)
