"""What the words of a target allow."""

import pytest

from spf_photos.attributes import ATTRIBUTES
from spf_photos.targets import TABLE, allowance_of


@pytest.mark.parametrize(
    ("target", "scope", "part", "attribute", "identity"),
    [
        ("wearing a red hat", "local", "hat", "headwear", False),
        ("with round glasses", "local", "eye_g", "eyewear", False),
        ("sunglasses", "local", "eye_g", "eyewear", False),
        ("a full beard", "local", "skin", "facial_hair", False),
        ("with a moustache", "local", "lips", "facial_hair", False),
        ("freckles", "local", "skin", None, False),
        ("heavy make-up", "local", "lips", None, False),
        ("gold earrings", "local", "ear_r", None, False),
        ("long wavy red hair", "local", "hair", "hair_color", False),
        ("curly hair", "local", "hair", "hair_style", False),
        ("an eyepatch", "local", "eye_g", "eyewear", False),
        ("a scar on the cheek", "local", "skin", None, False),
        ("smiling", "local", "lips", "expression", False),
        ("as an old man", "local", "hair", "age", True),
        ("watercolor", "global", None, "medium", False),
        ("as an oil painting", "global", None, "medium", False),
        ("sepia", "global", None, "medium", False),
        ("a pencil sketch", "global", None, "medium", False),
    ],
)
def test_words_tell_scope_parts_attributes_and_identity(target, scope, part, attribute, identity) -> None:
    found = allowance_of(target)
    assert found.scope == scope
    assert part is None or part in found.parts
    assert attribute is None or attribute in found.attributes
    assert found.changes_identity == identity


def test_unknown_words_allow_nothing_beside_the_region() -> None:
    assert allowance_of("holding a trombone").to_json() == {
        "scope": "local",
        "allowed_parts": [],
        "allowed_attributes": [],
        "changes_identity": False,
    }


def test_a_word_within_another_says_nothing() -> None:
    assert not allowance_of("a chatty person").attributes
    assert not allowance_of("wearing an old hat").changes_identity
    assert "facial_hair" not in allowance_of("scarf").attributes


def test_the_table_names_attributes_that_exist() -> None:
    assert all(allowance.attributes <= set(ATTRIBUTES) for _, allowance in TABLE)
