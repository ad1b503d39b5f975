"""What is left of a caption when some of its words are cut out: rules that leave a clean text.

The words become a HOLE. What belonged to them alone goes with them: brackets, weights, quotes, joining words.
Then the hole goes too, and the stronger of the separators beside it stays.
"""

import re
from collections.abc import Sequence

from spf_core.errors import DataError, short

HOLE = "\0"  # occurs in no caption: no tokenizer takes it
MOST_PASSES = 50  # of the rules over a caption; people's captions need three
APOSTROPHE = "['’]"


def any_of(listed: str) -> str:
    """A pattern for any one of some words, which blanks separate."""
    return rf"\b(?:{listed.replace(' ', '|')})\b"


DETERMINERS = "a an the his her their its my your our some"
LEADS = "wearing wears wore with in has have had having holding holds carrying sporting"
PREPOSITIONS = "on at to by for from of under behind near beside"
BE = "is are was were am be been being"
NOT = (
    "not never no without nor neither none nobody lacks lacking minus except hardly barely cannot isnt arent "
    "wasnt werent aint doesnt dont didnt hasnt havent hadnt cant couldnt wont zero non sans missing refuses "
    "refused refusing avoids avoided avoiding stopped quit removed removes removing"
)
PEOPLE = (
    "man men woman women person people boy boys girl girls child children kid kids baby toddler teenager "
    "adult lady ladies gentleman gentlemen guy guys couple family bride groom mother father mom dad daughter "
    "son sister brother grandmother grandfather model actor actress singer worker student teacher doctor "
    "nurse soldier dancer athlete farmer chef businessman businesswoman human male female 1girl 1boy"
)
STAND_INS = "portrait headshot selfie face head figure character subject"
_BODY = "head face eyes nose hair forehead neck ear ears shoulder shoulders chest hand hands wrist lips skin"
PLACED = rf"(?:on|over|above|across|around|in|from) {any_of(DETERMINERS)} {any_of(_BODY)}"
_FINITE = "is are was were has have had looks stands sits smiles holds walks"
_NOUNS_IN_ING = "something anything everything nothing clothing earring ring king string wing stocking"

_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("（", "）"), ("［", "］"), ("【", "】"))
OPENING, CLOSING = ("".join(pair[side] for pair in _PAIRS) for side in (0, 1))
SEPARATORS = (".。．!！?？…", ":：", ";；", "|｜", "—–-", ",，、", "/+")  # the strongest first
QUOTES = '"`“”„«»「」'
_LISTING = ",，、;；|｜"
_AT_ENDS = "".join(SEPARATORS).translate(str.maketrans("", "", "!！?？")) + " "

_MARK = rf"(?:[{''.join(SEPARATORS).replace('-', '')}]|(?<!\S)-(?!\S))"
_OPEN, _CLOSE = rf"\\?[{re.escape(OPENING)}]", rf"\\?[{re.escape(CLOSING)}]"
_OPEN_QUOTE = rf"(?:(?<![\w.,])|(?<!\w)(?=.(?:{HOLE}|$)))[\"'`“‘„«「]"
_CLOSE_QUOTE = r"[\"'`”’“»」](?!\w)"
_WEIGHT = r":\s?-?(?:\d*\.\d+|\d+(?![.\d]))"
_GAP = rf"(?:\s|(?!{_WEIGHT}){_MARK}){{1,9}}"
_BEGIN = rf"((?:^|{_OPEN}|{_OPEN_QUOTE})\s?)"
_STOP = rf"(?=\s?(?:{_CLOSE}|{_WEIGHT}\s?{_CLOSE}|{_CLOSE_QUOTE}|$))"
_CLAUSE = rf"((?:^|{_MARK}|{_OPEN}|{_OPEN_QUOTE})\s?)"
_END = rf"(?=\s?(?:{_MARK}|{_CLOSE}|{_CLOSE_QUOTE}|$))"
_AND = rf"(?:{any_of('and or but while')}|[&+])"
_GOES_ON = rf"(?=(?!{any_of(_NOUNS_IN_ING)})(?:\w+ing\b|{any_of(f'with in on at under not who {_FINITE}')}))"
_SOMEBODY = rf"(?:{any_of(DETERMINERS)}\s)?(?:[\w-]+\s){{0,2}}{any_of(PEOPLE)}"
_JOINING = any_of(f"and or but while with in of who whom which that also both {BE} {DETERMINERS} {LEADS}")

# Why something goes with the words, its pattern, and what stays of it.
_WRAPPINGS = (
    ("a short 'with' that joins nothing", rf"\bw/\s?{HOLE}", HOLE),
    *(
        (
            "brackets and a weight that held nothing else",
            rf"\\?{re.escape(one)}\s?{HOLE}\s?(?:(?:{_WEIGHT}|:\s?\d,\d+)\s?)?\\?{re.escape(other)}(?:(?:\d*\.\d+|[+-]+)(?!\w))?",
            HOLE,
        )
        for one, other in _PAIRS
    ),
    ("quotes that held nothing else", rf"{_OPEN_QUOTE}\s?{HOLE}\s?{_CLOSE_QUOTE}", HOLE),
    (
        "signs and tags that held nothing else",
        rf"([*_~^]+){HOLE}\1|<{HOLE}>|[#@]{HOLE}|<(\w{{1,9}})>\s?{HOLE}\s?</\2>|<\w{{1,9}}:{HOLE}(?::[\d.-]*)*>",
        HOLE,
    ),
    ("one of two keywords of prompts", rf"(?-i:BREAK|AND)\s?{HOLE}(?=\s?(?:(?-i:BREAK|AND)\b|$))", HOLE),
    ("a keyword after nothing", rf"^{HOLE}\s?(?-i:BREAK|AND)\s", HOLE),
    ("a weight before a keyword", rf"{HOLE}\s?{_WEIGHT}(?=\s?(?:(?-i:BREAK|AND)\b))", HOLE),
    (
        "a weight without brackets",
        rf"{HOLE}(?::-?\d*\.\d++(?!\s?{_CLOSE})|(?:{_WEIGHT}|[+-]+)(?=\s?(?:{_MARK}|$)))",
        HOLE,
    ),
    ("a hole beside a hole", rf"{HOLE}(?:\s|{_MARK}|{_AND}){{0,9}}{HOLE}", HOLE),
    ("a separator after nothing", rf"{_BEGIN}{HOLE}{_GAP}", rf"\1{HOLE}"),
    ("a separator before nothing", rf"{_GAP}{HOLE}{_STOP}", HOLE),
)
_JOINTS = (
    ("a joining word that joins nothing", rf"(?:{_JOINING}|[&+])\s?{HOLE}{_END}", HOLE),
    ("the verb of a contraction", rf"{APOSTROPHE}(?:s|re|m)\s?{HOLE}{_END}", HOLE),
    (
        "a pronoun without its verb",
        rf"((?:{_MARK}|{any_of('and but while')})\s?){any_of('he she they it')}\s?{HOLE}{_END}",
        rf"\1{HOLE}",
    ),
    (
        "a pronoun whose next sentence begins with it too",
        rf"^({any_of('he she they it')})\s?{HOLE}(?=\s?[.;]\s?\1\b)",
        HOLE,
    ),
    ("a joining word at the beginning of a clause", rf"{_CLAUSE}{HOLE}\s?{_AND}\s?", rf"\1{HOLE}"),
    (
        "the verb before another, as in 'is and has'",
        rf"(?:{any_of(BE)}|{APOSTROPHE}s)\s?{HOLE}\s?and\s(?={any_of(_FINITE)})",
        HOLE,
    ),
    (
        "a verb whose object is gone",
        rf"{any_of(f'who that which {BE}')}\s?{HOLE}(?=\s?{_AND}\s(?!{_GOES_ON}))",
        HOLE,
    ),
    ("an article before 'and'", rf"{any_of(DETERMINERS)}\s?{HOLE}(?=\s?{_AND}\s)", HOLE),
    (
        "the 'and' before the other object",
        rf"({any_of(LEADS)}\s?){HOLE}\s?(?:and|or|&)\s(?!{_SOMEBODY})(?!{_GOES_ON})",
        rf"\1{HOLE}",
    ),
    ("a preposition before 'and'", rf"{any_of(LEADS)}\s?{HOLE}(?=\s?{_AND}\s)", HOLE),
    ("the 'and' of 'and smiling'", rf"(?:\bboth\s?)?{HOLE}\s?{_AND}\s?{_GOES_ON}", HOLE),
)
_DENYING = "instead of|rather than|free of|free from|devoid of|took off|takes off|taking off|no longer|no one"
_BETWEEN = f"actually currently even seen any to like want wear worn {BE} {DETERMINERS} {LEADS} {PEOPLE}"
_NEGATIONS = (
    rf"(?:{any_of(NOT)}|\b\w+n(?:{APOSTROPHE}|\s)t\b|\bw/o(?!\w)|\b(?:{_DENYING})\b)"
    rf"(?:\s{any_of(_BETWEEN)})*\s?{HOLE}",
    rf"{any_of('not never no without')}(?:\s[\w-]+){{1,3}}\s(?:or|nor)\b"
    rf"(?:\s{any_of(f'{LEADS} {DETERMINERS}')})?\s?{HOLE}",
)
# Before a bare noun, an adjective may stand between.
_NEGATED_NOUN = (
    rf"{any_of('no without lacks lacking')}(?:\s(?!{any_of(f'{LEADS} and or but')})[\w-]+){{1,2}}\s?{HOLE}"
)
# What hung on the words and stays, so that the text is not clean: only the user knows what it should say.
_PIECE = r"[^,;.|()\[\]]{0,30}"
_HANGING = (
    rf"{HOLE}\s?({_AND}\s(?!{_SOMEBODY}){_PIECE})",
    rf"{HOLE}\s?((?:of|that|which|whose|made|than|instead|rather|including|such)\b{_PIECE})",
    rf"{HOLE}\s?({PLACED})",
    rf"{HOLE}\s?({any_of('backwards backward sideways askew')})",
    rf"({any_of('very quite rather too extremely')}\s?){HOLE}",
    rf"{HOLE}\s(\([^():]{{1,30}}\))",
    rf"^{HOLE}\s?({any_of(f'who with in {PREPOSITIONS}')}{_PIECE})",
    rf"(?:^|{_MARK}|{_OPEN})\s?{HOLE}\s?({any_of(_FINITE)}{_PIECE})",
    rf"({any_of(f'{PREPOSITIONS} as like only just still always seen shown seems appears')}\s?){HOLE}{_END}",
)
_ADVERB = rf"\b((?-i:(?!family|butterfly|elderly)[a-z]{{2,}}ly)\s?){HOLE}{_END}"
_DESCRIBING = rf"({any_of(f'{LEADS} {DETERMINERS}')}(?:\s(?!{any_of(PEOPLE)})[\w-]+){{1,3}}\s?){HOLE}{_END}"


def _compiled(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


def _table(rules: Sequence[tuple[str, str, str]]) -> list[tuple[re.Pattern[str], str]]:
    return list(zip(_compiled(*(rule[1] for rule in rules)), (rule[2] for rule in rules), strict=True))


_UNWRAP, _CLEAN = _table(_WRAPPINGS), _table((*_WRAPPINGS, *_JOINTS))
_DENIALS, _PIECES = _compiled(*_NEGATIONS), _compiled(*_HANGING)
_OF_PARTICIPLES, _OF_NOUNS = _compiled(_ADVERB, _DESCRIBING)
_DENIAL_OF_NOUN, _RIGHT_GAP, _ENDS_OPEN, _STOPS, _ARTICLE = _compiled(
    _NEGATED_NOUN,
    rf"(?:\s|(?!{_WEIGHT}\s?{_CLOSE}){_MARK})*",
    rf"(?:{_OPEN}|{_OPEN_QUOTE})$",
    _STOP,
    rf"\b(a)(n?)(?=\s?{HOLE}\s?([a-z]))",
)


def without_holes(text: str, cut: str) -> tuple[str, list[str]]:
    """The text without its holes and what belonged to them, and the pieces that hang on what was cut out.

    `cut` is what the holes stand for. DataError when a negation such as "not" stands before a hole.
    """
    denial = _DENIAL_OF_NOUN.search(" ".join(text.split())) if _is_bare(cut) else None
    text = _until_nothing_changes(" ".join(text.split()), _UNWRAP)
    if denial := denial or next((found for each in _DENIALS if (found := each.search(text))), None):
        said = denial[0].replace(HOLE, "").strip()
        raise DataError(
            f"the caption denies '{short(cut)}' with '{short(said)}'; correct it, or take the image out"
        )
    text = _until_nothing_changes(text, _CLEAN)
    hanging = [found[1].strip() for each in _what_hangs_on(cut) for found in each.finditer(text)]
    text = _ARTICLE.sub(_agreeing, text)
    while HOLE in text:
        text = _joined(*text.split(HOLE, 1))
    text = tidy(text)
    return text, [
        *dict.fromkeys(hanging),
        *(one for one, other in _PAIRS if text.count(one) != text.count(other)),
    ]


def tidy(text: str) -> str:
    """The text without doubled separators, and without any at its ends."""
    text = re.sub(rf"([{_LISTING}])(?:\s?[{_LISTING}])+", r"\1", " ".join(text.split()))
    text = re.sub(r"\s([,，、;；]|\.(?![.\d]))", r"\1", text)
    return text.strip(_AT_ENDS)


def _until_nothing_changes(text: str, rules: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for _ in range(MOST_PASSES):
        before = text
        for pattern, stays in rules:
            text = pattern.sub(stays, text)
        if text == before:
            return text
    raise DataError(
        f"more than {MOST_PASSES} brackets or joining words surround the target; correct the caption"
    )


def _what_hangs_on(cut: str) -> list[re.Pattern[str]]:
    """The patterns of what may hang on these words: adverbs on a participle, adjectives on a bare noun."""
    first = cut.split()[0].lower()
    if first.endswith("ing"):
        return [*_PIECES, _OF_PARTICIPLES]
    return [*_PIECES, _OF_NOUNS] if _is_bare(cut) else _PIECES


def _is_bare(cut: str) -> bool:
    """Whether the words are a noun or an adjective without what leads or determines it."""
    first = cut.split()[0].lower()
    return not first.endswith("ing") and first not in f"{LEADS} {PREPOSITIONS} {DETERMINERS}".split()


def _joined(before: str, after: str) -> str:
    """What stands before and after a hole, with the stronger of the separators between them."""
    left, gap = before.rstrip("".join(SEPARATORS) + " "), _RIGHT_GAP.match(after)
    assert gap, "it also matches nothing"
    right, gaps = after[gap.end() :], (before[len(left) :], gap[0])
    if not left or _ENDS_OPEN.search(left) or _STOPS.match(right):
        return left + right
    for marks in SEPARATORS:
        for each in gaps:
            if any(mark in each for mark in marks):
                blank = " " if " " in (gaps[0][-1:], gaps[1][-1:]) else ""
                return f"{left}{each.rstrip()}{blank}{right}"
    return f"{left} {right}"


def _agreeing(article: re.Match[str]) -> str:
    """'an' before a vowel, as far as a letter tells; what begins with u or h keeps its article."""
    letter = article[3].lower()
    if letter in "uh":
        return article[0]
    if letter not in "aeio":
        return article[1]
    return article[1] + (article[2] or ("N" if article[0].isupper() and article.string.isupper() else "n"))
