"""The tables that the page shows first: scores of all presets, and the paper's directions. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spf_lab.benchmark.tables import (
    ALL,
    HEADLINE,
    HOLDS,
    PERCENT,
    Cells,
    Json,
    best_name,
    by_purity,
    interval,
    winner,
)

_NOTHING: Json = {"value": None, "ci": [None, None]}
PERFECT = "*perfect edit*"
ANY_CLIENT = "in any client"


@dataclass(frozen=True)
class Column:
    """A score of all prompts or of a stratum; `scale` and `digits` say how it is written."""

    title: str
    key: str
    scale: float = 1.0
    digits: int = 0
    prompts: str = ALL

    @property
    def mark(self) -> str:
        """Whether higher or lower is better."""
        return HEADLINE[self.key][1]

    def of(self, row: Json) -> Json:
        """The value and the interval of a preset."""
        found: Json = row if self.prompts == ALL else row.get("strata", {}).get(self.prompts, {})
        value: Json = found.get(self.key, _NOTHING)
        return value

    def written(self, value: Json) -> str:
        """`92 [90, 93]`; a dash for what does not apply."""
        if value["value"] is None:
            return "-"
        middle, low, high = (self.number(end) for end in (value["value"], *value["ci"]))
        return f"{middle} [{low}, {high}]"

    def number(self, value: float) -> str:
        """The value as the table writes it."""
        text = f"{self.scale * value:.{self.digits}f}"
        return text.removeprefix("-") if not float(text) else text


COLUMNS = (
    Column("SPS", "sps"),
    Column("SPS, explicit", "sps", prompts="explicit"),
    Column("SPS, silent", "sps", prompts="silent"),
    Column("hit rate, %", "hit_rate", scale=100),
    Column("leak rate, %", "base_leak", scale=100),
    Column("SPI", "spi", digits=2),
    Column("REC", "rec"),
)


def main_table(rows: Mapping[str, Json], ceiling: Json, best: Mapping[str, Json] | None = None) -> Cells:
    """Presets down, the purest first, scores with intervals across; last what a perfect edit has.

    `best` holds the best row of each family, which takes no part in bold.
    """
    ordered = by_purity(rows)
    body = {name: [name] for name in ordered}
    for column in COLUMNS:
        values = [column.of(rows[name]) for name in ordered]
        first = winner(values, column.mark)
        for place, (name, value) in enumerate(zip(ordered, values, strict=True)):
            text = column.written(value)
            body[name].append(f"**{text}**" if place == first else text)
    lines = [[*line, _in_any_client(rows[name])] for name, line in body.items()]
    for family, row in (best or {}).items():
        scores = (column.written(column.of(row)) for column in COLUMNS)
        lines.append([f"{best_name(family, row)} †", *scores, _in_any_client(row)])
    if ceiling:
        lines.append([PERFECT, *(_limit(column, ceiling) for column in COLUMNS), "-"])
    return ["preset", *(f"{column.title} {column.mark}" for column in COLUMNS), ANY_CLIENT], lines


def directions_table(tests: Sequence[Json]) -> Cells:
    """The paper's directions on the mean over targets, and on how many targets each holds."""
    rows = []
    for test in tests:
        verdicts = [each["verdict"] for each in test["targets"].values() if each["value"] is not None]
        mean = test.get("mean") or next(iter(test["targets"].values()))
        shown = interval(mean, percent=test["formula"].startswith(PERCENT))
        verdict = shown if shown == "-" else f"{mean['verdict']}: {shown}"
        rows.append([test["claim"], verdict, f"{verdicts.count(HOLDS)} of {len(verdicts)}"])
    return ["the paper's direction", "mean over targets", "targets on which it holds"], rows


def _in_any_client(row: Json) -> str:
    """Whether the exported file alone gives these scores, or the client has to hand over as well."""
    return "yes" if min(row["handover"]) == 1 else "no"


def _limit(column: Column, ceiling: Json) -> str:
    value = ceiling.get(column.prompts, {}).get(column.key)
    return "-" if value is None else f"*{column.number(value)}*"
