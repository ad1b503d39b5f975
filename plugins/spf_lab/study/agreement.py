"""Raw shares with Wilson intervals, and agreement between raters."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from scipy.stats import binomtest

from spf_lab.evaluation.statistics import Estimate
from spf_lab.study.bradley_terry import LEFT, TIE, Comparisons

_MIRROR = {"first": "second", "second": "first", "tie": "tie"}


def share(count: int, total: int) -> Estimate:
    """A proportion with its 95 % Wilson interval (Wilson 1927), which takes answers for independent."""
    if not total:
        return Estimate(None, (None, None))
    interval = binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Estimate(count / total, (float(interval.low), float(interval.high)))


def pair_table(data: Comparisons) -> list[dict[str, Any]]:
    """Wins, ties and losses of the first against the second of every pair, with shares of all answers."""
    found = Counter(each[1:] for each in _outcomes(data))
    rows = []
    for first, second in combinations(range(len(data.methods)), 2):
        wins, ties, losses = (found[first, second, outcome] for outcome in ("first", "tie", "second"))
        total = wins + ties + losses
        rows.append(
            {
                "method": data.methods[first],
                "against": data.methods[second],
                "wins": wins,
                "ties": ties,
                "losses": losses,
                "win_share": share(wins, total).to_json(),
                "tie_share": share(ties, total).to_json(),
                "loss_share": share(losses, total).to_json(),
            }
        )
    return rows


def agreement(data: Comparisons) -> tuple[float | None, int]:
    """Krippendorff's alpha for raters who saw the same two pictures, and how many such pairs there are.

    The categories are first, tie and second, and every pair of pictures counts in both orders, so that which
    method is called first does not matter.
    """
    units: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for prompt, first, second, outcome in _outcomes(data):
        units[prompt, first, second].append(outcome)
    repeated = [outcomes for outcomes in units.values() if len(outcomes) > 1]
    mirrored = [[_MIRROR[outcome] for outcome in outcomes] for outcomes in repeated]
    return nominal_alpha([*repeated, *mirrored]), len(repeated)


def nominal_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal values: 1 - observed / expected disagreement.

    A unit holds the values that its raters gave, two or more; None without units, or where nothing ever
    varies. Krippendorff, Content Analysis, 2nd edition (2004), chapter 11.
    """
    pairable = [Counter(unit) for unit in units if len(unit) > 1]
    values: Counter[str] = sum(pairable, Counter())
    total = values.total()
    expected = total**2 - sum(count**2 for count in values.values())
    if not expected:
        return None
    observed = sum(
        (unit.total() ** 2 - sum(count**2 for count in unit.values())) / (unit.total() - 1)
        for unit in pairable
    )
    return float(1 - (total - 1) * observed / expected)


def _outcomes(data: Comparisons) -> Iterable[tuple[int, int, int, str]]:
    """Prompt, the pair in a fixed order, and which of it won, for every answer."""
    for left, right, answer, prompt in zip(
        data.left_N.tolist(),
        data.right_N.tolist(),
        data.answer_N.tolist(),
        data.prompt_N.tolist(),
        strict=True,
    ):
        won_left = (answer == LEFT) == (left < right)
        outcome = "tie" if answer == TIE else "first" if won_left else "second"
        yield prompt, min(left, right), max(left, right), outcome
