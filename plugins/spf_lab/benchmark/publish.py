"""Loose cells into their target's archive, with the pictures that the page shows: small enough for git."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from spf_lab.benchmark.archive import packed_files, write_archive
from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.contact_sheet import ContactSheet, thinned
from spf_lab.benchmark.grids import Grid
from spf_lab.benchmark.plan import RECORD_FILE, SHEET_FILE, Cell
from spf_lab.benchmark.record import encoded, read_record


def pack_cells(found: Sequence[Finished], grids: Iterable[Grid], out: Path) -> dict[str, ContactSheet]:
    """Pack every loose record and what the grids show of its sheet; the packed sheets by their cells' names.

    Runs and evaluations stay where they are. What was packed before is left as it is.
    """
    shown = _tiles(grids)
    packed: dict[str, ContactSheet] = {}
    loose = [each for each in found if each.cell.record(out).is_file()]
    for target in dict.fromkeys(each.cell.target for each in loose):
        of_target = [each for each in loose if each.cell.target == target]
        files = dict(packed_files(out, target))
        for each in of_target:
            name = each.cell.name
            sheet = thinned(each.sheet, shown.get(name, {})) if each.sheet else None
            record = replace(read_record(each.cell, out), layout=sheet.layout if sheet else None)
            files[f"{name}/{RECORD_FILE}"] = encoded(each.cell, record)
            files.pop(f"{name}/{SHEET_FILE}", None)
            if sheet:
                packed[name], files[f"{name}/{SHEET_FILE}"] = sheet, sheet.content
        write_archive(out, target, files)
        for each in of_target:
            _remove(each.cell, out)
    return packed


def _tiles(grids: Iterable[Grid]) -> Mapping[str, Mapping[str, Sequence[int]]]:
    """Cell's name -> role -> the pairs that any grid shows."""
    found: dict[str, dict[str, dict[int, None]]] = {}
    for grid in grids:
        for name, role, pair in grid.tiles():
            found.setdefault(name, {}).setdefault(role, {})[pair] = None
    return {name: {role: list(pairs) for role, pairs in roles.items()} for name, roles in found.items()}


def _remove(cell: Cell, out: Path) -> None:
    """Delete the loose files, and folders that hold nothing else."""
    cell.record(out).unlink()
    cell.sheet(out).unlink(missing_ok=True)
    for folder in (cell.folder(out), *list(cell.folder(out).parents)[:2]):
        with suppress(OSError):  # a run or an evaluation is left
            folder.rmdir()
