"""A noun phrase that a regular expression finds is cut out of its caption whole, and nothing else is."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_captions import content

from spf_core.data.phrases import compile_phrase, split_by_phrase
from spf_core.errors import DataError


@pytest.mark.parametrize(
    ("caption", "base", "target"),
    [
        (
            "a photo of sks woman wearing a hat, standing in a park",
            "a photo of sks woman, standing in a park",
            "wearing a hat",
        ),
        ("portrait of a woman with a straw hat, beach", "portrait of a woman, beach", "with a straw hat"),
        ("a man in a red hat", "a man", "in a red hat"),
        ("a man wearing a scarf and a hat", "a man wearing a scarf", "a hat"),
        ("a man wearing a hat and a scarf", "a man wearing a scarf", "a hat"),
        (
            "a woman wearing her favourite old red hat and smiling",
            "a woman smiling",
            "wearing her favourite old red hat",
        ),
        ("a woman with a hat on her head, red", "a woman, red", "with a hat on her head"),
        ("a woman (wearing a hat:1.3), red", "a woman, red", "wearing a hat"),
        ("a woman dressed in a hat", "a woman", "dressed in a hat"),
        ("a woman who wears a hat, park", "a woman, park", "wears a hat"),
        ("hat, woman, park", "woman, park", "hat"),
        ("a hat girl in a park", "a girl in a park", "hat"),
        ("woman hat", "woman", "hat"),
        ("A WOMAN IN A HAT. BLUE SKY.", "A WOMAN. BLUE SKY", "IN A HAT"),
        ("a woman in a hat and a man in a hat, beach", "a woman and a man, beach", "in a hat"),
        ("a woman with a hat, and a 'hat'", "a woman", "with a hat, hat"),
    ],
)
def test_a_noun_phrase_is_cut_and_not_its_clause(caption: str, base: str, target: str) -> None:
    assert split_by_phrase(caption, compile_phrase(r"\bhats?\b"))[:2] == (base, target)


NOUN_PHRASES = [
    "wearing a hat",
    "with a straw hat",
    "in a red hat",
    "and a hat",
    "hat",
    "a hat on her head",
    "(hat:1.2)",
]


def test_a_phrase_begins_with_a_word() -> None:
    caption = "a man that chats, in sunglasses and a shared hat"
    assert split_by_phrase(caption, compile_phrase("hat"))[:2] == (
        "a man that chats, in sunglasses",
        "a shared hat",
    )
    assert split_by_phrase("a man, in sunglasses", compile_phrase(r"\w*glasses"))[:2] == (
        "a man",
        "in sunglasses",
    )
    with pytest.raises(DataError, match="no clause of the caption"):
        split_by_phrase("a man that chats", compile_phrase("hat"))


@given(
    st.permutations(["a woman", "red hair", "blue sky", "smiling"]), st.sampled_from(NOUN_PHRASES), st.data()
)
@settings(max_examples=200, deadline=None)
def test_wherever_a_noun_phrase_stands_no_word_is_lost(
    pieces: list[str], phrase: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(pieces) - 1))
    pieces[place] += data.draw(st.sampled_from([" ", ", "])) + phrase
    caption = ", ".join(pieces)
    base, target, _ = split_by_phrase(caption, compile_phrase(r"\bhat\b"))
    assert not content(caption) - content(base) - content(target) - Counter("12")
    assert content(target)["hat"] == 1
    assert content(base)["woman"] == 1


@pytest.mark.parametrize("caption", ["woman without a hat", "woman, no hat", "a woman not wearing a hat"])
def test_a_denied_phrase_is_a_problem(caption: str) -> None:
    with pytest.raises(DataError, match="denies"):
        split_by_phrase(caption, compile_phrase("hat"))
