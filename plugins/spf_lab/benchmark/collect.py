"""Finished cells read back from their records, and whether they can be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spf_core.errors import RunError
from spf_lab.benchmark.archive import cell_file, how_to_delete
from spf_lab.benchmark.contact_sheet import ContactSheet, read_contact_sheet
from spf_lab.benchmark.costs import Cost
from spf_lab.benchmark.plan import SHEET_FILE, Cell
from spf_lab.benchmark.pooling import read_numbers
from spf_lab.benchmark.record import damaged, read_record
from spf_lab.evaluation.measure import PairNumbers
from spf_lab.evaluation.metrics import comparable


@dataclass(frozen=True)
class Finished:
    """A finished cell. `pairs` names what was judged: the texts and noise seeds."""

    cell: Cell
    results: Mapping[str, Any]
    numbers: PairNumbers
    pairs: tuple[tuple[str, int], ...]
    cost: Cost
    rows: Sequence[Mapping[str, Any]] = ()
    sheet: ContactSheet | None = None


def read_cells(cells: Sequence[Cell], out: Path) -> list[Finished]:
    """Read finished cells; RunError when one is damaged or they cannot be compared."""
    found = [read_cell(cell, out) for cell in cells]
    firsts: dict[str, Finished] = {}
    for each in found:
        first = firsts.setdefault(each.cell.target, each)
        if each.pairs != first.pairs:
            raise RunError(_incomparable(first, each, out, "judged on other prompts or seeds"))
        if each.results["model_hash"] != found[0].results["model_hash"]:
            raise RunError(_incomparable(found[0], each, out, "made with other base weights"))
        if not comparable(each.results, found[0].results):
            raise RunError(_incomparable(found[0], each, out, "scored by other metrics of SPI"))
    return found


def read_cell(cell: Cell, out: Path) -> Finished:
    """Read a finished cell; RunError when its files are damaged."""
    record = read_record(cell, out)
    try:
        numbers = read_numbers(record.results, record.rows)
        pairs = tuple((row["complete_text"], row["noise"]) for row in record.rows)
        layout = record.layout
        sheet = None if layout is None else read_contact_sheet(cell_file(cell, SHEET_FILE, out), layout)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(cell, out, error) from None
    return Finished(cell, record.results, numbers, pairs, record.cost, record.rows, sheet)


def _incomparable(first: Finished, other: Finished, out: Path, how: str) -> str:
    either = f"the folder of either in '{out / 'cells'}'"
    return (
        f"cells '{first.cell.name}' and '{other.cell.name}' cannot be compared: one was {how}; "
        f"{how_to_delete(other.cell, out, either)} and run the benchmark again"
    )
