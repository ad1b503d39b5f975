"""results.json, results.md and figures of a benchmark's finished cells."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf_core.errors import RunError
from spf_core.utils.atomic import atomic_write_text
from spf_lab.benchmark.analysis import Table, headline, make_tables, paired_tests
from spf_lab.benchmark.archive import is_finished
from spf_lab.benchmark.collect import Finished, read_cells
from spf_lab.benchmark.figures import find_grids, write_figures, write_grids
from spf_lab.benchmark.overview import best_of_families, mean_over_targets
from spf_lab.benchmark.packing import rounded
from spf_lab.benchmark.page import pages
from spf_lab.benchmark.plan import all_cells
from spf_lab.benchmark.publish import pack_cells
from spf_lab.benchmark.runner import missing_cells
from spf_lab.benchmark.signs import sign_tests
from spf_lab.benchmark.spec import BenchmarkSpec
from spf_lab.benchmark.tables import ALL
from spf_lab.evaluation.readout import STRATA
from spf_lab.evaluation.results import distinct_environments
from spf_lab.evaluation.saved import RESULTS_FILE
from spf_lab.evaluation.subject import ceiling_of

if TYPE_CHECKING:
    from spf_core.interfaces import Suite

SCHEMA = 1
DIGITS = 7  # significant ones, of results.json


def write_report(spec: BenchmarkSpec, out: Path, suite: "Suite", *, pack: bool = False) -> dict[str, Any]:
    """Write the report of all finished cells and return what results.json holds; RunError without any.

    Of `suite`, only the ceilings are used. `pack` moves the cells into archives.
    """
    cells = [cell for cell in all_cells(spec) if is_finished(cell, out)]
    if not cells:
        raise RunError(f"'{out}' holds no finished cell; run the benchmark first")
    found = read_cells(cells, out)
    tables = make_tables(found)
    strata = {name: make_tables(found, name) for name in STRATA}
    results: dict[str, Any] = rounded(_results(spec, out, found, tables, strata), DIGITS)
    for target, content in results["targets"].items():
        content["ceiling"] = ceiling_of(suite, target)
    grids = find_grids(tables, results)
    for target, shown in grids.items():
        results["targets"][target]["pictures"] = {kind: grid.facts for kind, grid in shown.items()}
    sheets = {each.cell.name: each.sheet for each in found if each.sheet}
    if pack:
        sheets |= pack_cells(found, [grid for shown in grids.values() for grid in shown.values()], out)
    write_grids(out, grids, sheets)
    write_figures(out, results)
    for name, text in pages(results).items():
        atomic_write_text(out / name, text)
    text = json.dumps(results, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    atomic_write_text(out / RESULTS_FILE, text + "\n")
    return results


def _results(
    spec: BenchmarkSpec,
    out: Path,
    found: list[Finished],
    tables: Mapping[str, Table],
    strata: Mapping[str, Mapping[str, Table]],
) -> dict[str, Any]:
    first = found[0].results
    return {
        "schema": SCHEMA,
        "suite_label": first["suite_label"],
        "benchmark": spec.plain(),
        "missing": [cell.name for cell in missing_cells(spec, out)],
        "reference": spec.reference,
        "model_hash": first["model_hash"],
        **({"purity": first["purity"]} if "purity" in first else {}),
        "sampling": _shared([each.results["sampling"] for each in found]),
        "environments": distinct_environments([each.results for each in found]),
        "targets": {
            target: _target(
                table, spec.reference, {name: several[target] for name, several in strata.items()}
            )
            for target, table in tables.items()
        },
        "mean_over_targets": mean_over_targets(tables, strata),
        "best_of_families": best_of_families(spec, tables),
        "sign_tests": sign_tests({ALL: tables, **strata}),
    }


def _shared(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all have in common."""
    return {
        key: value for key, value in several[0].items() if all(each.get(key) == value for each in several)
    }


def _target(table: Table, reference: str, strata: Mapping[str, Table]) -> dict[str, Any]:
    first = next(iter(table.values()))
    return {
        "target_text": first.cells[0].results["target_text"],
        "presets": {
            name: {
                **row.to_json(),
                "strata": {key: headline(part[name]) for key, part in strata.items() if name in part},
            }
            for name, row in table.items()
        },
        "paired_tests": [test.to_json() for test in paired_tests(table, reference)],
    }
