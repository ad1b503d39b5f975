"""report.md of a study: a plain function of what results.json holds. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

from spf_lab.benchmark.tables import interval, markdown

Json = Mapping[str, Any]
REPORT_FILE, FIGURE_FILE = "report.md", "strengths.png"
TITLES = {
    "original": "Keeps more of the base image (base image shown)",
    "target": "Shows the target better",
    "appearance": "Looks better (base image not shown)",
}
_LEGEND = """\
Log-strengths come from a Bradley-Terry model with ties and a side bias (Davidson). Their mean over all
methods is 0. A difference of 1 means odds of e : 1 if no rater calls it a tie. "Preferred" is the
probability that raters choose the method over `{against}`, without ties and side bias. Brackets hold 95 %
intervals for other raters and other prompts, by a two-way clustered bootstrap. Shares of the raw answers
have Wilson intervals. These treat all answers as independent, so they are too narrow. Alpha is
Krippendorff's, between raters who saw the same two images: 1 is full agreement, 0 is what chance gives."""
_PROTOCOL = """\
{analysed} raters ({complete} finished) in {files} files. The analysis leaves out {superseded_files} earlier
files of the same raters and {withdrawn} withdrawn raters. The median time of an answer is
{median_seconds:.1f} s. Each screen has one question; sides and order are random; an answer takes at least 1
s; raters get no feedback. A rule that was fixed in advance excludes raters with more than {max_wrong:.0%} of
the catch trials wrong, or with less than {min_consistency:.0%} of the repeats without contradiction, if they
judged at least {least}."""
FEW_RATERS = 5


def page(results: Json) -> str:
    """The whole report in Markdown."""
    label = [f"> **{results['label']}.** No person gave these votes."] if results["simulated"] else []
    title = f"# {'SIMULATED user study' if results['simulated'] else 'User study'}: {results['suite_label']}"
    raters = results["raters"]
    parts = [title, *label, _protocol(results), f"![log-strengths]({FIGURE_FILE})"]
    if raters["analysed"] - len(raters["excluded"]) < FEW_RATERS:
        parts.append(f"**Fewer than {FEW_RATERS} raters**: the intervals do not show how raters differ.")
    parts.append(_LEGEND.format(against=results["against"]))
    parts += _questions(results["questions"], results)
    if raters["excluded"]:
        parts += ["# With the excluded raters", *label]
        parts += _questions(results["questions_with_excluded"], results)
    return "\n\n".join(parts) + "\n"


def strength_rows(found: Json) -> list[list[str]]:
    """Per method: log-strength, chance to be preferred, wins, ties and losses; the strongest first."""
    rows = []
    for name, strength in sorted(found["strengths"].items(), key=lambda item: -item[1]["value"]):
        wins, ties, losses = _record(found["pairs"], name)
        beats = interval(found["beats"][name]) if name in found["beats"] else "-"
        rows.append([name, interval(strength), beats, str(wins), str(ties), str(losses)])
    return rows


def strength_head(against: str) -> list[str]:
    """Titles of the columns of `strength_rows`."""
    return ["method", "log-strength", f"preferred to {against}", "wins", "ties", "losses"]


def summary(found: Json) -> str:
    """One line: answers, side bias, agreement."""
    alpha = "-" if found["alpha"] is None else f"{found['alpha']:.2f}"
    return (
        f"{found['answers']} answers, {found['ties']} ties; left side between equals "
        f"{interval(found['left'])}; alpha {alpha} ({found['pictures_seen_by_several']} pairs of images)"
    )


def _protocol(results: Json) -> str:
    words = _PROTOCOL.format(**results["raters"], **results["exclusion"])
    excluded = [f"{name}: {reason}" for name, reason in results["raters"]["excluded"].items()]
    targets = ", ".join(f'"{text}"' for text in results["targets"])
    left_out = f" Excluded: {'; '.join(excluded)}." if excluded else " Nobody was excluded."
    return f"{words}{left_out} Targets: {targets}. Study `{results['study'][:12]}`."


def _questions(questions: Json, results: Json) -> list[str]:
    parts = []
    for question, title in TITLES.items():
        found = questions[question]
        parts.append(f"## {title}")
        if found is None:
            parts.append("Nobody answered this question.")
            continue
        parts += [summary(found) + ".", markdown((strength_head(results["against"]), strength_rows(found)))]
        parts.append(
            markdown((["pair", "wins", "ties", "losses", "win share", "loss share"], _pairs(found["pairs"])))
        )
    return parts


def _pairs(pairs: Sequence[Json]) -> list[list[str]]:
    return [
        [
            f"{row['method']} against {row['against']}",
            *(str(row[name]) for name in ("wins", "ties", "losses")),
            interval(row["win_share"]),
            interval(row["loss_share"]),
        ]
        for row in pairs
    ]


def _record(pairs: Sequence[Json], name: str) -> tuple[int, int, int]:
    own = [(row["wins"], row["ties"], row["losses"]) for row in pairs if row["method"] == name]
    own += [(row["losses"], row["ties"], row["wins"]) for row in pairs if row["against"] == name]
    wins, ties, losses = (sum(column) for column in zip(*own, strict=True))
    return wins, ties, losses
