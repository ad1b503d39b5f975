"""Scores in numbers: the headline as cards, and everything in tables."""

from collections.abc import Mapping

from spf_lab.evaluation.readout import interval, number, result_rows, score_name
from spf_lab.report.arms import Json
from spf_lab.report.html import Html, paragraph, table, tag
from spf_lab.report.texts import FRONTIER_SUM

CARDS = {
    "sps": ("SPS", "Semantic Purity Score, 0 to 100", "up"),
    "effect": ("E", "effect: how much of the target appears", "up"),
    "spi": ("SPI", "pollution: how much else changed", "down"),
    "hit_rate": ("hit rate", "images that show the target when the prompt asks for it", "up"),
    "base_leak": ("leak rate", "images that show the target when the prompt does not ask for it", "down"),
    "rec": ("REC", "reconstruction under the base text, 0 to 100", "up"),
}
_ARROWS = {"up": "↑ higher is better", "down": "↓ lower is better"}


def cards(results: Json) -> Html:
    """The headline scores, each with its interval and which way is better."""
    return tag("dl", *(_card(results, key) for key in CARDS), class_="cards")


def measures(results: Mapping[str, Json]) -> Html:
    """Each measure, part and bias; runs side by side."""
    first = next(iter(results.values()))
    size = f"{first['n_prompts']} prompts x {first['n_seeds']} seeds, split {first['split']}"
    caption = f"{first['suite_label']}, target {first['target']}: {size}; 95 % intervals over prompts"
    return table(caption, ("measure", *results, "meaning"), result_rows(results))


def frontier_table(results: Json) -> Html:
    """Scores at each adapter strength, and the summary of the frontier."""
    frontier: Json = results["frontier"]
    names = ("sps", "effect", "spi", "hit_rate", "base_leak", "delta_spi", "rec")
    plain = ("SPS ↑", "E ↑", "SPI ↓", "hit rate ↑", "leak rate ↓", "ΔSPI ↓", "REC ↑")
    head = ("strength", *(f"{score_name(results, name[:-2])}{name[-2:]}" for name in plain))
    rows = [
        (f"{point['strength']:g}", *(interval(point[name]) for name in names)) for point in frontier["points"]
    ]
    matched = [
        f"{effect}: {interval(value) if value['value'] is not None else 'not reached from below'}"
        for effect, value in frontier["spi_at_effect"].items()
    ]
    words = FRONTIER_SUM.format(effects="; to ".join(matched), area=interval(frontier["area"]))
    return tag("div", table("Adapter strengths; 95 % intervals over prompts", head, rows), paragraph(words))


def _card(results: Json, key: str) -> Html:
    value, (plain, meaning, better) = results[key], CARDS[key]
    name = score_name(results, plain)
    low, high = value["ci"]
    spread = "" if value["value"] is None else f"{number(low)} to {number(high)}"
    return tag(
        "div",
        tag("dt", name, tag("span", _ARROWS[better][0], title=_ARROWS[better][2:], class_="arrow")),
        tag("dd", number(value["value"]), class_="value"),
        tag("dd", spread, class_="small"),
        tag("dd", meaning, class_="small"),
    )
