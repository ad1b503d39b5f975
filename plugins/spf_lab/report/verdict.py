"""What the numbers of an evaluation or of a comparison say, in one plain sentence. Torch-free.

Every text here is a function of results.json alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spf_lab.evaluation.readout import interval

Json = Mapping[str, Any]

NO_EFFECT, WEAK_EFFECT, PART_EFFECT = 0.1, 0.5, 0.8  # E below
STRONG_POLLUTION = 0.5  # SPI above
LEAK = 0.05  # leak rate above that of the base model by more than this
DRIFT = 3.0  # percentage points that an attribute must move to be named

Level = Literal["good", "fair", "bad"]


@dataclass(frozen=True)
class Verdict:
    """A word, the sentence, and what else must be said; `level` gives it a colour."""

    level: Level
    word: str
    sentence: str
    more: Sequence[str] = ()


def score_name(results: Json, name: str) -> str:
    """What the score is called in these results."""
    return name


def run_verdict(results: Json) -> Verdict:
    """How well a run learned its target and nothing else."""
    faults = _faults(results)
    sentence = _sentence(results)
    if sentence is None:
        none = "None of the scores applies to this evaluation, so there is no verdict."
        return Verdict("fair", "No verdict", none)
    if not faults:
        known = all(_value(results, key) is not None for key in ("effect", "spi"))
        if not known:
            return Verdict("fair", "Not all scores apply", sentence)
        beside = _beside_prompting(results)
        if _against_prompting(results) == "alike":
            return Verdict("fair", "No clear gain over prompting", sentence, [beside])
        if (_value(results, "effect") or 0.0) < PART_EFFECT:
            more = [beside] if beside else []
            return Verdict("fair", "Target learned in part, most else kept", sentence, more)
        return Verdict("good", "Target learned, most else kept", sentence, [beside] if beside else [])
    words = [word for word, _ in faults]
    more = [said for _, said in faults]
    beside = _beside_prompting(results)
    if beside and beside not in more:
        more.append(beside)
    mild = words == [_WEAK]
    return Verdict("fair" if mild else "bad", _listed(words), sentence, [said for said in more if said])


_NONE, _WEAK = "No effect", "Weak effect"
_WORSE, _POLLUTED, _LEAKS = "Worse than prompting alone", "Strong pollution", "Leak"


def _faults(results: Json) -> list[tuple[str, str]]:
    """What is bad, as a word and a sentence, the worst first."""
    target, found = results["target"], list[tuple[str, str]]()
    effect, pollution = _value(results, "effect"), _value(results, "spi")
    if effect is not None and effect < NO_EFFECT:
        much = _shown(results, "effect")
        found.append((_NONE, f"**{target}** hardly appears more than without the training (effect {much})."))
    if _against_prompting(results) == "worse":
        found.append((_WORSE, _beside_prompting(results)))
    if pollution is not None and pollution > STRONG_POLLUTION:
        much = f"{score_name(results, 'SPI')} {_shown(results, 'spi')}"
        said = f"Much besides the target changes ({much}; at 1, as much as another noise seed changes)."
        found.append((_POLLUTED, said))
    leak, before = _value(results, "base_leak"), _value(results, "base_leak_original") or 0.0
    low = results["base_leak"]["ci"][0] if leak is not None else None
    if leak is not None and leak - before > LEAK and (low is None or low > before):
        said = f"**{target}** also appears in {_percent(leak)} of the images that do not ask for it."
        found.append((_LEAKS, said))
    if effect is not None and NO_EFFECT <= effect < WEAK_EFFECT:
        much = _shown(results, "effect")
        found.append(
            (_WEAK, f"**{target}** appears less than half as much as in real examples (effect {much}).")
        )
    return found


def _sentence(results: Json) -> str | None:
    """The headline in one sentence; None where none of it applies."""
    hits, pollution, purity = (_value(results, key) for key in ("hit_rate", "spi", "sps"))
    parts = []
    if hits is not None:
        parts.append(f"shows **{results['target']}** in {_percent(hits)} of the images that ask for it")
    if pollution is not None:
        parts.append(f"keeps {_percent(1 - pollution)} of everything else")
    if not parts:
        return None
    name = score_name(results, "SPS")
    score = f"{name} {_shown(results, 'sps')}" if purity is not None else f"{name} does not apply"
    most = _changes_most(results)
    return f"The tuned model {' and '.join(parts)} ({score}){f'; what changes most: {most}' if most else ''}."


def _changes_most(results: Json) -> str | None:
    """The attribute, or else the part, that changes most where it should not; None where none does."""
    allowed = results.get("allowed_attributes", ())
    moved = {
        name: sum(abs((leak.get("shift") or {}).get("value") or 0.0) for leak in row.values()) / 2
        for name, row in results.get("leakage", {}).items()
        if name not in allowed
    }
    name = max(moved, key=lambda each: moved[each], default="")
    if name and moved[name] >= DRIFT:
        return name.replace("_", " ")
    if name:
        return None
    parts = {key: part["value"] for key, part in results.get("parts", {}).items() if part.get("value")}
    return max(parts, key=lambda each: parts[each], default=None)


def _against_prompting(results: Json) -> Literal["better", "worse", "alike"] | None:
    """The purity score beside that of the base model with the target in its prompt; None where one lacks."""
    tuned, base = results.get("sps"), results.get("sps_original")
    if not _applies(tuned) or not _applies(base):
        return None
    assert tuned is not None
    assert base is not None
    if apart(tuned, base):
        return "better" if tuned["value"] > base["value"] else "worse"
    return "alike"


def _beside_prompting(results: Json) -> str:
    """The comparison with prompting in a sentence; nothing where it cannot be made."""
    name, base = score_name(results, "SPS"), interval(results.get("sps_original"))
    match _against_prompting(results):
        case "better":
            return f"The base model alone, asked for the target, reaches {name} {base}."
        case "worse":
            return f"The base model alone does better when it is asked for the target: {name} {base}."
        case "alike":
            return (
                f"The base model alone, asked for the target, reaches {name} {base}: the intervals overlap, "
                "so the training shows no clear gain."
            )
    return ""


def comparison_verdict(rows: Mapping[str, Json], where: str) -> Verdict:
    """Which preset is best by its purity score, and what separates it; `where` is as `on sunglasses`."""
    scored = {name: row for name, row in rows.items() if _applies(row.get("sps"))}
    ranked = sorted(scored, key=lambda name: -scored[name]["sps"]["value"])
    if not ranked:
        return Verdict("fair", "No verdict", f"The purity score applies to no preset {where}.")
    best, name = ranked[0], score_name(rows[ranked[0]], "SPS")
    top = f"`{best}` has the highest {name} {where}: {interval(scored[best]['sps'])}"
    level, more = _of_best(scored[best])
    if len(ranked) == 1:
        return Verdict(
            level, f"{best} alone is scored", f"{top}. There is no other to compare it with.", more
        )
    ties = [other for other in ranked[1:] if not apart(scored[best]["sps"], scored[other]["sps"])]
    behind = [other for other in ranked[1:] if other not in ties]
    if ties:
        names = _listed([f"`{other}`" for other in ties[:3]], "and")
        others = f"{len(ties) - 3} more and {names}" if len(ties) > 3 else names
        sentence = (
            f"{top}, but its interval overlaps with {'those' if len(ties) > 1 else 'that'} of {others}."
        )
        word = "No clear winner"
        if behind:
            more = [_separates(scored, best, behind[0]), *more]
        return Verdict("bad" if level == "bad" else "fair", word, sentence, more)
    second = behind[0]
    sentence = f"{top}, ahead of `{second}` with {interval(scored[second]['sps'])}."
    return Verdict(level, f"{best} is best", sentence, [_separates(scored, best, second), *more])


def _of_best(row: Json) -> tuple[Level, list[str]]:
    """How good the best one is, in itself."""
    match _against_prompting(row):
        case "worse":
            return "bad", [_beside_prompting(row)]
        case "alike":
            return "fair", ["Even this one is not clearly better than asking the base model alone."]
    effect, pollution = _value(row, "effect"), _value(row, "spi")
    if effect is not None and effect < NO_EFFECT:
        return "bad", ["Even this one has next to no effect."]
    if pollution is not None and pollution > STRONG_POLLUTION:
        return "bad", ["Even this one changes much besides the target."]
    return "good", []


_SEPARATES = {
    "spi": ("keeps {best} of everything else, against {other}", -1),
    "effect": ("reaches {best} of the effect of real examples, against {other}", 1),
    "base_leak": ("shows the target in {best} of the images that do not ask for it, against {other}", -1),
}


def _separates(rows: Mapping[str, Json], best: str, other: str) -> str:
    """The score in which the best one is furthest ahead of another, in a sentence."""
    ahead: dict[str, float] = {}
    for key, (_, sign) in _SEPARATES.items():
        one, two = rows[best].get(key), rows[other].get(key)
        if _applies(one) and _applies(two) and apart(one or {}, two or {}):
            ahead[key] = sign * ((one or {})["value"] - (two or {})["value"])
    key = max(ahead, key=lambda each: ahead[each], default="")
    if not key or ahead[key] <= 0:
        return f"No single score separates it clearly from `{other}`."
    values = {"best": rows[best][key]["value"], "other": rows[other][key]["value"]}
    shown = {name: _percent(1 - value if key == "spi" else value) for name, value in values.items()}
    return f"What separates it from `{other}`: it {_SEPARATES[key][0].format(**shown)}."


def apart(one: Json, other: Json) -> bool:
    """Whether two intervals do not overlap; without their ends nobody can tell."""
    ends = [*one["ci"], *other["ci"]]
    if any(end is None for end in ends):
        return False
    return bool(one["ci"][0] > other["ci"][1] or other["ci"][0] > one["ci"][1])


def _applies(value: Json | None) -> bool:
    return value is not None and value.get("value") is not None


def _value(results: Json, name: str) -> float | None:
    found = results.get(name)
    return found["value"] if found and _applies(found) else None


def _shown(results: Json, name: str) -> str:
    return interval(results.get(name))


def _percent(share: float) -> str:
    """`96 %`; neither 0 nor 100 where that is not quite so."""
    percent = 100 * share
    if 0 < percent < 1:
        return "less than 1 %"
    if 99 < percent < 100:
        return "over 99 %"
    return f"{round(percent)} %"


def _listed(words: Sequence[str], last: str = "") -> str:
    """`A, b, c`, or with `last` `A, b and c`; only the first keeps its capital letter."""
    shown = [words[0], *(word if word.startswith("`") else word[0].lower() + word[1:] for word in words[1:])]
    if last and len(shown) > 1:
        return f"{', '.join(shown[:-1])} {last} {shown[-1]}"
    return ", ".join(shown)
