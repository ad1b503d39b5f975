"""results.json, results.md and figures of the finished sequences."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spf_core.errors import RunError
from spf_core.utils.atomic import atomic_write_text
from spf_lab.continual.analysis import compare, make_presets
from spf_lab.continual.collect import Trace, read_sequences
from spf_lab.continual.figures import matrix_figure, stage_figure
from spf_lab.continual.page import REPORT_FILE, STAGES_FILE, matrix_file, page
from spf_lab.continual.plan import all_sequences
from spf_lab.continual.runner import missing_sequences
from spf_lab.continual.spec import ContinualSpec
from spf_lab.continual.stage import is_complete
from spf_lab.evaluation.plots import save_figure
from spf_lab.evaluation.results import distinct_environments
from spf_lab.evaluation.saved import RESULTS_FILE

SCHEMA = 1


def write_report(spec: ContinualSpec, out: Path) -> dict[str, Any]:
    """Write the report of all finished sequences and return what results.json holds; RunError without any."""
    finished = [sequence for sequence in all_sequences(spec) if is_complete(sequence, spec, out)]
    if not finished:
        raise RunError(f"'{out}' holds no finished sequence; run spf continual first")
    results = _results(spec, out, read_sequences(finished, spec, out))
    label = results["suite_label"]
    save_figure(
        out / STAGES_FILE, stage_figure(f"{label}: what grows from stage to stage", results["presets"])
    )
    for name, preset in results["presets"].items():
        save_figure(out / matrix_file(name), matrix_figure(f"{name} ({label})", preset))
    atomic_write_text(out / REPORT_FILE, page(results))
    text = json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False)
    atomic_write_text(out / RESULTS_FILE, text + "\n")
    return results


def _results(spec: ContinualSpec, out: Path, found: Sequence[Trace]) -> dict[str, Any]:
    presets, first = make_presets(found), found[0].results
    return {
        "schema": SCHEMA,
        "suite_label": first["suite_label"],
        "continual": spec.plain(),
        "orders": {sequence.order_name: list(sequence.order) for sequence in all_sequences(spec)},
        "missing": [sequence.name for sequence in missing_sequences(spec, out)],
        "reference": spec.reference,
        "model_hash": first["model_hash"],
        **({"purity": first["purity"]} if "purity" in first else {}),
        "environments": distinct_environments([each.results for each in found]),
        "targets": {target: {"ceiling": limits} for target, limits in sorted(found[0].ceilings.items())},
        "presets": {name: preset.to_json() for name, preset in presets.items()},
        "comparisons": compare(presets, spec.reference),
    }
