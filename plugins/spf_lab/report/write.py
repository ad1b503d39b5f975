"""From a folder to its page: a run, a benchmark or a demo."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from spf_core.data import Row, read_folder, readable_rows
from spf_core.errors import RunError, short
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.run import CONFIG_FILE, file_hash
from spf_core.utils.json_text import read_json
from spf_core.utils.yaml_text import read_yaml
from spf_lab.benchmark.archive import is_finished
from spf_lab.benchmark.collect import Finished, read_cells
from spf_lab.benchmark.folder import RECORD
from spf_lab.benchmark.plan import all_cells
from spf_lab.benchmark.spec import BenchmarkSpec, parse_benchmark
from spf_lab.evaluation.pictures import Pictures
from spf_lab.evaluation.saved import RESULTS_FILE
from spf_lab.report.arms import Arm, Json, read_arm
from spf_lab.report.attention_maps import Subject, look, subject_of
from spf_lab.report.comparison import Compared, comparison_page
from spf_lab.report.html import Html, facts, folded, join, paragraph
from spf_lab.report.rows import rows_of
from spf_lab.report.run import run_page
from spf_lab.report.sections import sections_of
from spf_lab.report.settings import environment, hashes, listed, settings
from spf_lab.report.strips import missing
from spf_lab.report.texts import BENCHMARK, DEMO, FAILED, NO_CELL, NO_LOOK, SCORED
from spf_lab.scoring.record import Scored, read_record

DEMO_RECORD, PAGE = "demo.json", "report.html"


def run_report(
    run: Path, plugins: Plugins, *, evaluation: Path | None, subject: Subject | None, device: str
) -> str:
    """The page of a run folder; RunError when an evaluation is damaged or of other weights."""
    config = read_yaml(run / CONFIG_FILE)
    folder = evaluation or _usual_evaluation(run)
    arm = _evaluation(run, folder) if folder else None
    rows = [] if arm else rows_of(config, plugins, readable_rows)
    chosen = subject or _default_subject(arm, rows)
    added = sections_of(plugins, run, folder, device)
    return run_page(run, config, rows, arm, look(run, plugins, chosen, device), added)


def benchmark_report(folder: Path, plugins: Plugins, *, device: str) -> str:
    """The page of a benchmark's folder, from its results.json and the cells that are there."""
    spec = parse_benchmark(read_yaml(folder / RECORD), str(folder / RECORD))
    way_out = f"spf benchmark FILE.yaml --out {shlex.quote(str(folder))} --report-only writes it again"
    results = _read(folder / RESULTS_FILE, way_out)
    try:
        return _benchmark_page(folder, spec, results, plugins, device)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:  # anybody may change it
        reason = f"{type(error).__name__}: {short(' '.join(str(error).split()))}"
        raise RunError(f"'{folder / RESULTS_FILE}' is damaged ({reason}); {way_out}") from None


def _benchmark_page(folder: Path, spec: BenchmarkSpec, results: Json, plugins: Plugins, device: str) -> str:
    cells = _first_cells(spec, folder)
    arms = {target: [_arm(each) for each in found] for target, found in cells.items()}
    none = missing(NO_CELL.format(reference=results["reference"]))
    references = {
        target: each.cell.run(folder)
        for target, found in cells.items()
        for each in found
        if each.cell.entry.name == results["reference"]
        if (each.cell.run(folder) / ADAPTER_FILE).is_file()
    }
    looks = {**dict.fromkeys(results["targets"], none), **_looks(references, arms, plugins, device)}
    made = [("base weights", f"`{results['model_hash']}`"), ("sampling", listed(results["sampling"]))]
    made += [("versions", listed(each)) for each in results["environments"]]
    return comparison_page(
        Compared(
            title=f"Benchmark: {', '.join(results['targets'])}",
            label=results["suite_label"],
            lead=BENCHMARK.format(label=results["suite_label"]),
            results=results,
            arms=arms,
            looks=looks,
            folder=folder,
            closing=join(
                [facts(made), folded("The benchmark's file (benchmark.yaml)", settings(folder / RECORD))]
            ),
        )
    )


def demo_report(folder: Path, plugins: Plugins, *, device: str) -> str:
    """The page of a demo's folder: its runs side by side."""
    names = sorted(
        path.name for path in (folder / "runs").glob("*/") if (folder / "evaluation" / path.name).is_dir()
    )
    if not names:
        raise RunError(f"'{folder}' holds no finished run; continue the demo with spf demo --out {folder}")
    arms = [read_arm(name, folder / "evaluation" / name) for name in names]
    first, runs = arms[0].results, {name: folder / "runs" / name for name in names}
    target, bias = first["target"], first["training_bias"]
    presets = {arm.name: {**arm.results, "handover": [arm.results["sampling"]["handover"]]} for arm in arms}
    found = {"target_text": first["target_text"], "presets": presets, "paired_tests": []}
    closing = [facts(hashes(run / ADAPTER_FILE)) for run in runs.values()]
    closing += [folded(f"All settings of {name}", settings(run / CONFIG_FILE)) for name, run in runs.items()]
    shared = ", ".join(f"{key} {value}" for key, value in bias.items())
    return comparison_page(
        Compared(
            title=f"Training “{target}” and nothing else",
            label=first["suite_label"],
            lead=DEMO.format(rows=len(read_folder(folder / "data")), bias=shared),
            results={"reference": "spf", "targets": {target: found}},
            arms={target: arms},
            looks=_looks({target: runs[names[-1]]}, {target: arms}, plugins, device),
            folder=folder,
            closing=join(closing),
        )
    )


def score_report(folder: Path) -> str:
    """The page of a folder of `spf score`: its files side by side."""
    record = read_record(folder)
    arms = [read_arm(name, folder / name) for name in record.finished]
    if not arms:
        raise RunError(f"'{folder}' holds no file that was scored; score one with spf score FILE")
    first = arms[0].results
    rows = {arm.name: {**arm.results, "handover": [arm.results["sampling"]["handover"]]} for arm in arms}
    found = {"target_text": first["target_text"], "presets": rows, "paired_tests": []}
    failed = [f"{name} ({each.failed})" for name, each in record.files.items() if each.failed]
    notes = [paragraph(FAILED.format(files="; ".join(failed)))] if failed else []
    files = [(name, _scored_facts(each)) for name, each in record.files.items()]
    made = [("base weights", f"`{first['model_hash']}`"), *environment(first)]
    return comparison_page(
        Compared(
            title=f"What these files change besides “{record.target}”",
            label=first["suite_label"],
            lead=SCORED,
            results={"reference": arms[0].name, "targets": {first["target"]: found}},
            arms={first["target"]: arms},
            looks={first["target"]: missing(NO_LOOK)},
            folder=folder,
            closing=join([*notes, facts(files), facts(made)]),
        )
    )


def _scored_facts(file: Scored) -> str:
    said = {"SHA-256": f"`{file.sha256[:16]}`", "kind": file.kind, "strength": f"{file.strength:g}"}
    return f"`{file.file}`: {listed(said)}"


def _looks(
    runs: Mapping[str, Path], arms: Mapping[str, list[Arm]], plugins: Plugins, device: str
) -> dict[str, Html]:
    return {
        target: look(run, plugins, _default_subject(arms[target][0], []), device)
        for target, run in runs.items()
    }


def _first_cells(spec: BenchmarkSpec, folder: Path) -> dict[str, list[Finished]]:
    """Finished cells by target, one for each preset: the first training seed that keeps pictures."""
    found: dict[str, dict[str, Finished]] = {}
    for each in read_cells([cell for cell in all_cells(spec) if is_finished(cell, folder)], folder):
        of_target = found.setdefault(each.cell.target, {})
        if not (kept := of_target.get(each.cell.entry.name)) or (each.sheet and not kept.sheet):
            of_target[each.cell.entry.name] = each
    return {target: list(cells.values()) for target, cells in found.items()}


def _arm(found: Finished) -> Arm:
    nothing = Pictures({}, None)
    return Arm(
        found.cell.entry.name,
        found.results,
        found.rows,
        found.sheet.pictures if found.sheet else lambda _: nothing,
    )


def _usual_evaluation(run: Path) -> Path | None:
    """The evaluation in the run's folder or, as in a benchmark's cell, beside it."""
    places = (run / "evaluation", run.parent / "evaluation")
    return next((folder for folder in places if (folder / RESULTS_FILE).is_file()), None)


def _evaluation(run: Path, folder: Path) -> Arm:
    arm, weights = read_arm(run.name, folder), run / ADAPTER_FILE
    if weights.is_file() and arm.results["adapter_hash"] != file_hash(weights):
        raise RunError(f"'{folder}' evaluates other weights than '{weights}'; name its own with --evaluation")
    return arm


def _default_subject(arm: Arm | None, rows: list[Row]) -> Subject | None:
    """The first pair of the evaluation, with its noise; else the first training text."""
    if arm:
        row, results = arm.rows[0], arm.results
        return subject_of(row["base_text"], results["target_text"], results["target"], row["noise"])
    return subject_of(rows[0].base_text, rows[0].target_text) if rows else None


def _read(file: Path, way_out: str) -> Json:
    try:
        content: Json = read_json(file)
    except FileNotFoundError:
        raise RunError(f"'{file}' does not exist; {way_out}") from None
    except ValueError:
        raise RunError(f"'{file}' is damaged; {way_out}") from None
    return content
