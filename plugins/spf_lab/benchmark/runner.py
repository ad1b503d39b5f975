"""Running a benchmark's cells, beside other processes that do the same."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from spf_core.plugins.discovery import Plugins
from spf_core.runs.file_locks import Claim
from spf_core.utils.progress import Progress
from spf_lab.benchmark.archive import is_finished
from spf_lab.benchmark.cell import refuse_other_settings, run_cell
from spf_lab.benchmark.folder import open_folder, write_data
from spf_lab.benchmark.plan import Cell, all_cells, build_suite, cell_config, chosen_cells
from spf_lab.benchmark.sharing import Pass, run_if_free
from spf_lab.benchmark.spec import BenchmarkSpec

Watch = Callable[[Cell], AbstractContextManager[Progress]]
Announce = Callable[[list[Cell], list[Cell]], None]


def ignore(kept: list[Cell], todo: list[Cell]) -> None:
    """Say nothing of what is to be done."""


class Outcome(Pass[Cell]):
    """What a pass over the cells left."""


def run_benchmark(
    spec: BenchmarkSpec,
    out: Path,
    plugins: Plugins,
    *,
    watch: Watch,
    device: str = "auto",
    only: str | None = None,
    announce: Announce = ignore,
) -> Outcome:
    """Run every cell that is neither finished nor held by another process; `watch` follows each.

    `announce` is told which finished cells are kept and which cells are to run, before the first runs.

    A cell that fails does not keep the others from running. Raises ConfigError and RunError before anything
    is computed when the file or the folder cannot be used, InterruptedRunError and KeyboardInterrupt on
    Ctrl-C.
    """
    chosen, suite = chosen_cells(spec, only), build_suite(spec, plugins)
    open_folder(out, spec)
    for cell in all_cells(spec):
        refuse_other_settings(cell, cell_config(spec, cell, plugins, out, device), out, plugins)
    todo = [cell for cell in _reference_first(spec, chosen) if not is_finished(cell, out)]
    announce([cell for cell in chosen if cell not in todo], todo)
    for target in dict.fromkeys(cell.target for cell in todo):
        write_data(out, target, spec, suite)
    outcome = Outcome()
    for cell in todo:
        if not is_finished(cell, out):
            _run_if_free(spec, cell, out, plugins, device, watch, outcome)
    return outcome


def missing_cells(spec: BenchmarkSpec, out: Path) -> list[Cell]:
    """Cells that are not finished."""
    return [cell for cell in all_cells(spec) if not is_finished(cell, out)]


def _reference_first(spec: BenchmarkSpec, cells: list[Cell]) -> list[Cell]:
    """Of each seed and target the reference's cell first: the others keep the pictures of its worst pairs."""
    groups = [(seed, target) for seed in spec.seeds for target in spec.targets]
    places = {group: place for place, group in enumerate(groups)}
    return sorted(cells, key=lambda cell: (places[cell.seed, cell.target], cell.entry.name != spec.reference))


def _run_if_free(
    spec: BenchmarkSpec, cell: Cell, out: Path, plugins: Plugins, device: str, watch: Watch, outcome: Outcome
) -> None:
    def work(claim: Claim) -> None:
        with watch(cell) as progress:
            run_cell(spec, cell, out, plugins, device=device, progress=claim.heard_by(progress))

    run_if_free(cell, cell.folder(out), lambda: is_finished(cell, out), work, outcome)
