"""The verdict of a report: a function of results.json alone, for every kind of outcome."""

from typing import Any

import pytest

from spf_lab.report.verdict import apart, comparison_verdict, run_verdict

NOTHING = {"value": None, "ci": [None, None]}


def estimate(value: float, spread: float = 0.02) -> dict[str, Any]:
    return {"value": value, "ci": [value - spread, value + spread]}


def results(**changed: Any) -> dict[str, Any]:
    """A run that learned its target and kept nearly everything."""
    found = {
        "target": "sunglasses",
        "allowed_attributes": ["glasses"],
        "sps": estimate(93.0, 2.0),
        "sps_original": estimate(40.0, 5.0),
        "effect": estimate(0.97),
        "spi": estimate(0.11),
        "hit_rate": estimate(0.96),
        "base_leak": estimate(0.0, 0.0),
        "base_leak_original": estimate(0.0, 0.0),
        "parts": {"appearance": estimate(0.1), "layout": estimate(0.2)},
        "leakage": {
            "glasses": {"on": {"shift": estimate(90.0)}, "off": {"shift": estimate(-90.0)}},
            "background": {"teal": {"shift": estimate(12.0)}, "red": {"shift": estimate(-12.0)}},
            "hair_color": {"red": {"shift": estimate(4.0)}, "blue": {"shift": estimate(-4.0)}},
        },
    }
    return {**found, **changed}


def test_a_good_run_is_said_in_one_sentence_with_its_interval() -> None:
    verdict = run_verdict(results())
    assert (verdict.level, verdict.word) == ("good", "Target learned, most else kept")
    assert verdict.sentence == (
        "The tuned model shows **sunglasses** in 96 % of the images that ask for it and keeps 89 % of "
        "everything else (SPS 93.0 [91.0, 95.0]); what changes most: background."
    )
    assert verdict.more == ["The base model alone, asked for the target, reaches SPS 40.0 [35.0, 45.0]."]


@pytest.mark.parametrize(
    ("changed", "word", "said"),
    [
        ({"effect": estimate(0.02), "hit_rate": estimate(0.03)}, "No effect", "hardly appears more"),
        ({"spi": estimate(0.8)}, "Strong pollution", "SPI 0.80 [0.78, 0.82]"),
        ({"base_leak": estimate(0.3)}, "Leak", "30 % of the images that do not ask for it"),
        ({"sps_original": estimate(97.0, 1.0)}, "Worse than prompting alone", "SPS 97.0 [96.0, 98.0]"),
        (
            {"spi": estimate(0.9), "base_leak": estimate(0.5)},
            "Strong pollution, leak",
            "50 % of the images that do not",
        ),
    ],
)
def test_what_is_bad_is_said_in_a_clear_word(changed: dict[str, Any], word: str, said: str) -> None:
    verdict = run_verdict(results(**changed))
    assert (verdict.level, verdict.word) == ("bad", word)
    assert any(said in each for each in verdict.more), verdict.more


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"effect": estimate(0.3)}, "Weak effect"),
        ({"effect": estimate(0.66)}, "Target learned in part, most else kept"),
        ({"sps_original": estimate(92.0, 3.0)}, "No clear gain over prompting"),
        ({"effect": NOTHING, "sps": NOTHING}, "Not all scores apply"),
        ({"spi": NOTHING, "sps": NOTHING}, "Not all scores apply"),
    ],
)
def test_what_is_neither_good_nor_bad(changed: dict[str, Any], word: str) -> None:
    verdict = run_verdict(results(**changed))
    assert (verdict.level, verdict.word) == ("fair", word)


def test_a_leak_within_its_interval_of_the_base_model_is_none() -> None:
    leak = {"value": 0.12, "ci": [0.0, 0.4]}
    assert run_verdict(results(base_leak=leak)).word == "Target learned, most else kept"
    shown_before = estimate(0.3)
    again = run_verdict(results(base_leak=estimate(0.3), base_leak_original=shown_before))
    assert again.word == "Target learned, most else kept"


def test_where_nothing_applies_there_is_no_verdict() -> None:
    names = ("sps", "sps_original", "effect", "spi", "hit_rate", "base_leak", "base_leak_original")
    verdict = run_verdict(results(**dict.fromkeys(names, NOTHING), parts={}, leakage={}))
    assert (verdict.level, verdict.word, list(verdict.more)) == ("fair", "No verdict", [])


def test_results_of_older_versions_lack_scores() -> None:
    old = results()
    for name in ("sps_original", "base_leak_original", "leakage"):
        del old[name]
    verdict = run_verdict(old)
    assert verdict.more == []
    assert verdict.sentence.endswith("what changes most: layout.")


def test_a_pure_run_changes_nothing_most() -> None:
    still = {"background": {"teal": {"shift": estimate(0.4)}}}
    assert "what changes most" not in run_verdict(results(leakage=still)).sentence


def test_shares_are_not_rounded_to_all_or_nothing() -> None:
    assert "over 99 % of the images" in run_verdict(results(hit_rate=estimate(0.996))).sentence
    assert "100 % of the images" in run_verdict(results(hit_rate=estimate(1.0))).sentence


def test_a_comparison_names_the_best_and_what_separates_it() -> None:
    rows = {"lora": results(sps=estimate(30.0), spi=estimate(0.8)), "spf": results()}
    verdict = comparison_verdict(rows, "on sunglasses")
    assert (verdict.level, verdict.word) == ("good", "spf is best")
    assert "`spf` has the highest SPS on sunglasses: 93.0 [91.0, 95.0], ahead of `lora`" in verdict.sentence
    assert list(verdict.more) == [
        "What separates it from `lora`: it keeps 89 % of everything else, against 20 %."
    ]


def test_where_intervals_overlap_nobody_wins() -> None:
    rows = {"a": results(), "b": results(sps=estimate(92.0, 3.0)), "c": results(sps=estimate(20.0))}
    verdict = comparison_verdict(rows, "on hats")
    assert (verdict.level, verdict.word) == ("fair", "No clear winner")
    assert "its interval overlaps with that of `b`" in verdict.sentence
    assert list(verdict.more) == ["No single score separates it clearly from `c`."]


def test_the_best_of_bad_ones_is_called_bad() -> None:
    rows = {"a": results(sps=estimate(20.0)), "b": results(sps=estimate(5.0))}
    verdict = comparison_verdict(rows, "on hats")
    assert verdict.level == "bad"
    assert any("The base model alone does better" in each for each in verdict.more)


def test_a_comparison_of_one_or_of_none() -> None:
    assert comparison_verdict({"a": results()}, "on hats").word == "a alone is scored"
    assert comparison_verdict({"a": results(sps=NOTHING)}, "on hats").word == "No verdict"
    assert comparison_verdict({}, "on hats").word == "No verdict"


def test_without_ends_nobody_can_tell_whether_intervals_overlap() -> None:
    assert not apart({"value": 1.0, "ci": [None, None]}, estimate(50.0))
    assert apart(estimate(1.0), estimate(50.0))
