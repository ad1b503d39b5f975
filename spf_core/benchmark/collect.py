"""Finished cells read back: per-pair numbers, and what training cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from spf_core.benchmark.plan import Cell
from spf_core.benchmark.pooling import read_numbers
from spf_core.checkpoint import ADAPTER_FILE
from spf_core.errors import RunError
from spf_core.evaluation.measure import PairNumbers
from spf_core.evaluation.results import PAIRS_FILE, RESULTS_FILE
from spf_core.runlog import read_metrics


@dataclass(frozen=True)
class Cost:
    """What training took; memory is the peak of the process or of the CUDA allocator, in MiB."""

    steps: int
    seconds: float
    peak_memory_mib: float
    trainable_parameters: int


@dataclass(frozen=True)
class Finished:
    """A finished cell. `pairs` names what was judged: the texts and noise seeds."""

    cell: Cell
    results: Mapping[str, Any]
    numbers: PairNumbers
    pairs: tuple[tuple[str, int], ...]
    cost: Cost


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
    return found


def read_cell(cell: Cell, out: Path) -> Finished:
    """Read a finished cell; RunError when its files are damaged."""
    evaluation = cell.evaluation(out)
    try:
        results = json.loads((evaluation / RESULTS_FILE).read_text(encoding="utf-8"))
        lines = (evaluation / PAIRS_FILE).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        numbers = read_numbers(results, rows)
        pairs = tuple((row["complete_text"], row["noise"]) for row in rows)
        return Finished(cell, results, numbers, pairs, _cost(cell.run(out)))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RunError(
            f"cell '{cell.folder(out)}' is damaged ({reason}); delete that folder and run the benchmark again"
        ) from None


def _cost(run: Path) -> Cost:
    lines = read_metrics(run)
    if not lines:
        raise ValueError("metrics.jsonl holds no step")
    with safe_open(run / ADAPTER_FILE, framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    return Cost(
        steps=len(lines),
        seconds=sum(line["seconds"] for line in lines),
        peak_memory_mib=max(line["peak_memory_mib"] for line in lines),
        trainable_parameters=sum(int(np.prod(shape)) for shape in shapes),
    )


def _incomparable(first: Finished, other: Finished, out: Path, how: str) -> str:
    return (
        f"cells '{first.cell.name}' and '{other.cell.name}' cannot be compared: one was {how}; "
        f"delete the folder of either in '{out / 'cells'}' and run the benchmark again"
    )
