"""Taking the target out of a caption leaves a clean text, or a warning, or a problem."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import check_folder, read_folder
from spf_core.data.captions import split_by_trigger
from spf_core.data.cutting import tidy
from spf_core.data.subjects import loses_subject
from spf_core.errors import DataError

TRIGGER = "wearing sunglasses"


@pytest.mark.parametrize(
    ("caption", "base"),
    [
        ("man, (wearing sunglasses:1.3), red", "man, red"),
        ("a man, ((wearing sunglasses)), red", "a man, red"),
        ("a man, [[wearing sunglasses]]", "a man"),
        ("a man, wearing sunglasses:1.3, red", "a man, red"),
        ("a man, (wearing sunglasses)1.3, red", "a man, red"),
        ("a man, (wearing sunglasses)++, red", "a man, red"),
        (r"a man \(wearing sunglasses\), red", "a man, red"),
        ("a man (smiling, wearing sunglasses:1.2), red", "a man (smiling:1.2), red"),
        ("a man (wearing sunglasses, smiling:1.2)", "a man (smiling:1.2)"),
        ("{wearing sunglasses|smiling} man", "{smiling} man"),
        ("A man. Wearing sunglasses. Blue sky.", "A man. Blue sky"),
        ("a man; wearing sunglasses; red", "a man; red"),
        ("a man | wearing sunglasses | red", "a man | red"),
        ("a man – wearing sunglasses – red", "a man – red"),  # noqa: RUF001 - a dash that people type
        ("a man,wearing sunglasses,red", "a man,red"),
        ("a man ,wearing sunglasses ,, red", "a man, red"),
        ("男性、wearing sunglasses、赤", "男性、赤"),
        ("- a man\n- wearing sunglasses\n- red", "a man - red"),
        ('"wearing sunglasses", a man', "a man"),
        ("“wearing sunglasses,” a man", "a man"),
        ('"red" wearing sunglasses "blue"', '"red" "blue"'),
        ("a man who is wearing sunglasses", "a man"),
        ("a man who's wearing sunglasses, red", "a man, red"),
        ("A MAN WHO IS WEARING SUNGLASSES, RED", "A MAN, RED"),
        ("a man. He is wearing sunglasses. Blue sky", "a man. Blue sky"),
        ("a woman (with red hair) and wearing sunglasses, smiling", "a woman (with red hair), smiling"),
        ("a man is wearing sunglasses and smiling", "a man is smiling"),
        ("a man wearing sunglasses and smiling", "a man smiling"),
        ("a man who is wearing sunglasses and has a beard", "a man who has a beard"),
        ("a man wearing sunglasses and a woman in red", "a man and a woman in red"),
        ("Wearing sunglasses, a man smiles", "a man smiles"),
        ("Wearing sunglasses and smiling, a man", "smiling, a man"),
        ("wearing sunglasses, a man wearing sunglasses and wearing sunglasses, red", "a man, red"),
        ("a man wearing wearing sunglasses sunglasses", "a man"),
        ("<lora:x:1>, a man wearing sunglasses, red", "<lora:x:1>, a man, red"),
        ("1girl, wearing_sunglasses, red_hair", "1girl, red_hair"),
        ("a man without a hat, wearing sunglasses", "a man without a hat"),
        ("a man not smiling, wearing sunglasses", "a man not smiling"),
        ("*wearing sunglasses*, a man", "a man"),
        ("a man BREAK wearing sunglasses BREAK red", "a man BREAK red"),
        ("a man+wearing sunglasses+red", "a man+red"),
        ("a man, wearing sunglasses/red hair", "a man, red hair"),
        ("a man (wearing sunglasses:1,3), red", "a man, red"),
        ("<lora:wearing sunglasses:0.8>, a man", "a man"),
        ("a man <b>wearing sunglasses</b>, red", "a man, red"),
        ("a man @wearing sunglasses, red", "a man, red"),
        ("wearing sunglasses BREAK a man", "a man"),
        ("He is wearing sunglasses. He smiles", "He smiles"),
    ],
)
def test_what_belonged_to_the_trigger_goes_with_it(caption: str, base: str) -> None:
    assert split_by_trigger(caption, TRIGGER) == (base, TRIGGER, ())


@pytest.mark.parametrize(
    ("caption", "trigger", "base"),
    [
        ("a man with sunglasses", "sunglasses", "a man"),
        ("a man w/ sunglasses", "sunglasses", "a man"),
        ("a man in a man’s hat, red", "in a man's hat", "a man, red"),  # noqa: RUF001 - an apostrophe that people type
        ("a man wearing sunglasses, red", "sunglasses", "a man, red"),
        ("an angry man", "angry", "a man"),
        ("a tall old man", "tall", "an old man"),
        ("a man with a beard and a hat", "a hat", "a man with a beard"),
        ("a man with a beard and a hat", "beard", "a man with a hat"),
        ("a woman wearing a hat and a scarf", "a hat", "a woman wearing a scarf"),
        ("a man in sunglasses and a woman in red", "sunglasses", "a man and a woman in red"),
    ],
)
def test_a_bare_noun_or_adjective_takes_its_article_with_it(caption: str, trigger: str, base: str) -> None:
    assert split_by_trigger(caption, trigger) == (base, trigger, ())


@pytest.mark.parametrize(
    ("caption", "trigger", "piece"),
    [
        ("a man wearing sunglasses and a scarf", TRIGGER, "and a scarf"),
        ("a man who is wearing sunglasses and a scarf", TRIGGER, "and a scarf"),
        ("a man wearing sunglasses on his head, red", TRIGGER, "on his head"),
        ("a man wearing sunglasses that reflect the sky", TRIGGER, "that reflect the sky"),
        ("a man casually wearing sunglasses", TRIGGER, "casually"),
        ("a man (wearing sunglasses", TRIGGER, "("),
        ("a man wearing black sunglasses, red", "sunglasses", "wearing black"),
        ("wearing sunglasses is fun, a man", TRIGGER, "is fun"),
        ("a man wearing sunglasses (black), red", TRIGGER, "(black)"),
        ("he appears to be wearing sunglasses", TRIGGER, "to"),
        ("a man wearing sunglasses backwards", TRIGGER, "backwards"),
        ("a very old man", "old", "very"),
    ],
)
def test_what_cannot_be_cleaned_is_warned_of(caption: str, trigger: str, piece: str) -> None:
    (warning,) = split_by_trigger(caption, trigger).warnings
    assert f"'{piece}'" in warning


@pytest.mark.parametrize(
    "caption",
    [
        "a man not wearing sunglasses",
        "a man without wearing sunglasses",
        "A MAN WHO ISN'T WEARING SUNGLASSES",
        "a man who isn’t actually wearing sunglasses",  # noqa: RUF001 - an apostrophe that people type
        "a man (not (wearing sunglasses:1.2))",
        "a man never seen wearing sunglasses",
        "no man wearing sunglasses",
        "a man not smiling or wearing sunglasses",
        "a man who isn t wearing sunglasses",
        "a man who does not like wearing sunglasses",
        "a man avoiding wearing sunglasses",
    ],
)
def test_a_denied_trigger_is_a_problem(caption: str) -> None:
    with pytest.raises(DataError, match="denies 'wearing sunglasses'"):
        split_by_trigger(caption, TRIGGER)


@pytest.mark.parametrize(
    "caption",
    [
        "a man without any visible hat",
        "a man w/o hat",
        "a man sans hat",
        "a man devoid of a hat",
        "a man who took off his hat",
        "a man who has never worn a hat",
        "a man without a coat or a hat",
    ],
)
def test_a_denied_noun_is_a_problem(caption: str) -> None:
    with pytest.raises(DataError, match="denies 'hat'"):
        split_by_trigger(caption, "hat")


@pytest.mark.parametrize("caption", ["a man without glasses, hat", "a man with no beard wearing a hat"])
def test_what_else_a_caption_denies_is_not_the_trigger(caption: str) -> None:
    assert split_by_trigger(caption, "hat").base in caption


def test_accents_are_the_same_however_they_are_stored() -> None:
    assert split_by_trigger("a man with a cafe\u0301 hat", "caf\u00e9 hat").base == "a man"


def test_a_text_that_is_no_caption_is_a_problem_in_a_short_message() -> None:
    with pytest.raises(DataError, match="has 400001 characters; shorten it to 10000") as long:
        split_by_trigger("a man wearing sunglasses " * 16_000 + ".", TRIGGER)
    with pytest.raises(DataError, match="denies") as denied:
        split_by_trigger(f"a man not {'a ' * 4000}wearing sunglasses", TRIGGER)
    assert max(len(str(long.value)), len(str(denied.value))) < 250


def test_characters_that_show_nothing_are_shown_in_messages() -> None:
    with pytest.raises(DataError, match=r"'a man wearing\\u200bsunglasses'"):
        split_by_trigger("a man wearing\u200bsunglasses", TRIGGER)


@pytest.mark.parametrize(
    "around", [("(" * 60, ")" * 60), ("who is " * 60, ""), ("wearing " * 60, " sunglasses" * 60)]
)
def test_what_no_person_writes_is_a_problem(around: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=r"more than 50|too often"):
        split_by_trigger(f"a man {around[0]}{TRIGGER}{around[1]}", TRIGGER)


@pytest.mark.parametrize(
    "caption", ["no sunglasses, a man", "a sunglasses-wearing man", "wearing sunglasses'es"]
)
def test_other_words_are_not_the_trigger(caption: str) -> None:
    with pytest.raises(DataError, match="does not contain the trigger"):
        split_by_trigger(caption, TRIGGER)


@pytest.mark.parametrize(
    "caption", ["(wearing sunglasses:1.3)", "who is wearing sunglasses.", "<lora:x:1>, wearing sunglasses"]
)
def test_a_caption_that_says_nothing_else_is_a_problem(caption: str) -> None:
    with pytest.raises(DataError, match="no more than the target"):
        split_by_trigger(caption, TRIGGER)


WORDS = [
    "a man",
    "red hair",
    "blue sky",
    "smiling",
    "(soft light:1.2)",
    "[old]",
    '"art"',
    "<lora:x:1>",
    "tall",
]
JOINTS = [
    ", ",
    ". ",
    "; ",
    " | ",
    " - ",
    " / ",
    ": ",
    ",",
    "、",
    "\n",
    " and ",
    " but ",
    " & ",
    " with ",
    " ",
    " who is ",
]
WRAPPED = [
    "{}",
    "({})",
    "(({}))",
    "( {} )",
    "({}:1.3)",
    "({})++",
    "[{}]",
    "{{{}}}",
    '"{}"',
    "'{}'",
    "“{}”",
    "{}:0.8",
]


@st.composite
def captions(draw: st.DrawFn) -> str:
    """Pieces of captions in any order, the trigger among them, once or twice, in brackets or not."""
    pieces = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    for _ in range(draw(st.integers(1, 2))):
        held = draw(st.sampled_from(WRAPPED)).format(draw(st.sampled_from([TRIGGER, TRIGGER.upper()])))
        pieces.insert(draw(st.integers(0, len(pieces))), held)
    joints = [draw(st.sampled_from(JOINTS)) for _ in pieces[1:]]
    return "".join(
        part
        for pair in zip(pieces, [*joints, draw(st.sampled_from(["", "."]))], strict=True)
        for part in pair
    )


def content(text: str) -> Counter[str]:
    """The words that say something; joining words may go with the trigger."""
    joining = {"a", "an", "and", "but", "with", "who", "is"}
    return Counter(word for word in re.findall(r"[^\W_]+", text.lower()) if word not in joining)


UNCLEAN = re.compile(
    r"\( *\)|\[ *\]|(?<!\w)\" *\"(?!\w)|[“”]|:(1\.3|0\.8)|[,;|] *[,;|]|[,;|.-] *$|^[,;|. -]"
    r"|[(\[] *[,;|]|[,;|] *[)\]]|  "
)
DANGLING = re.compile(r"^(and|with|who|is)\b|\b(and|with|who|is) *([,;|.)\]]|$)", re.IGNORECASE)


@given(captions())
@settings(max_examples=400, deadline=None)
def test_no_other_word_is_lost_and_the_rest_is_clean(caption: str) -> None:
    assume(content(re.sub(r"<lora:x:1>|wearing|sunglasses|1\.3|0\.8", "", caption, flags=re.IGNORECASE)))
    base, _, warnings = split_by_trigger(caption, TRIGGER)
    assert TRIGGER not in base.lower()
    weighted = re.sub(r"(wearing sunglasses\W*):(1\.3|0\.8)", r"\1", caption, flags=re.IGNORECASE)
    assert set(content(weighted) - content(base)) <= {"wearing", "sunglasses"}, "a word is lost"
    assert not UNCLEAN.search(base)
    assert all(base.count(one) == base.count(other) for one, other in (("(", ")"), ("[", "]")))
    assert not DANGLING.search(base) or warnings
    assert tidy(base) == base


@given(
    st.text(
        st.sampled_from(" ,;|.:-()[]\"'“”&+nt")
        | st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_text_around_the_trigger_is_split_or_refused(text: str) -> None:
    half = len(text) // 2
    try:
        base, target, _ = split_by_trigger(f"{text[:half]} {TRIGGER} {text[half:]}", TRIGGER)
    except DataError:
        return
    assert (base, target) == (tidy(base), TRIGGER)
    assert "\0" not in base
    letters = [c for c in text.lower() if c.isalpha()]
    assert len([c for c in base.lower() if c.isalpha()]) >= len(letters) - 12, (
        "more than a joining word is lost"
    )


def test_each_row_that_is_not_clean_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = {
        "a": "a man wearing a hat and a scarf",
        "b": "a man wearing a hat",
        "c": "a man casually wearing a hat",
    }
    for name, caption in captions.items():
        Image.new("RGB", (20, 10)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(caption)
    options = DatasetSection(trigger="wearing a hat")
    report = check_folder(tmp_path, options)
    assert [row.base_text for row in report.rows] == ["a man and a scarf", "a man", "a man casually"]
    for name, piece, warning in zip("ac", ("and a scarf", "casually"), report.warnings, strict=True):
        assert f"{name}.txt: " in warning
        assert f"'{piece}'" in warning
    read_folder(tmp_path, options)
    (line,) = caplog.messages
    assert "a.txt: " in line
    assert "(and 1 more: c.txt)" in line


@pytest.mark.parametrize(
    ("caption", "base", "lost"),
    [
        ("a photo of a woman, park", "a photo, park", True),
        ("portrait of a woman", "portrait", True),
        ("portrait 3, red", "portrait 3", False),
        ("emily with a hat, park", "emily, park", False),
        ("a hat, park", "park", True),
        ("a photo of sks, park", "a photo of sks, park", False),
        ("a photo of a hat, beach", "a photo, beach", True),
    ],
)
def test_a_base_text_without_its_subject_is_noticed(caption: str, base: str, lost: bool) -> None:
    assert loses_subject(caption, base) is lost
