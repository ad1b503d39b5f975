"""The record of a finished cell: one small file that all tables, tests and figures are made from.

The run and the evaluation beside it may be deleted. A record holds no path, so its folder may be moved.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from spf_core.errors import RunError, short
from spf_core.utils.atomic import atomic_file
from spf_core.utils.json_text import parse_json
from spf_lab.benchmark.archive import cell_file, how_to_delete
from spf_lab.benchmark.contact_sheet import Layout
from spf_lab.benchmark.costs import Cost, read_cost
from spf_lab.benchmark.packing import pack, rounded, unpack
from spf_lab.benchmark.plan import RECORD_FILE, Cell
from spf_lab.evaluation.saved import check_evaluation
from spf_lab.evaluation.saved import read_evaluation as read_saved

Json = Mapping[str, Any]
SCHEMA = 1
_FAULTS = (
    *(OSError, EOFError, SafetensorError),
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
)
_KEPT = ("prompt", "seed", "noise", "base_text", "complete_text", "tau", "spi", "region_share", "distances")


@dataclass(frozen=True)
class Record:
    """A finished cell: its settings, what its evaluation found, a row for each pair, and what it cost.

    `settings` is the run's configuration without what depends on the machine. `results` is that of
    `results.json`, and `rows` what tables need of `pairs.jsonl`, at five significant digits. `layout` says
    what the sheet of pictures shows, where there is one.
    """

    settings: Json
    results: Json
    rows: list[dict[str, Any]]
    cost: Cost
    layout: Layout | None = None


def read_evaluation(cell: Cell, settings: Json, out: Path) -> Record:
    """The record of a cell's run and evaluation folders; RunError when their files are damaged."""
    evaluation = cell.evaluation(out)
    try:
        results, pairs = read_saved(evaluation)
        rows = [_kept(row) for row in pairs]
        cost = read_cost(cell.run(out), results.get("seconds"))
    except _FAULTS as error:
        raise damaged(cell, out, error) from None
    return Record(settings, rounded(_without_places(results)), rounded(rows), cost)


def write_record(cell: Cell, out: Path, record: Record) -> None:
    """Write the record: where it stands, the cell is finished."""
    with atomic_file(cell.record(out)) as temporary:
        temporary.write_bytes(encoded(cell, record))


def encoded(cell: Cell, record: Record) -> bytes:
    """The content of the record's file."""
    content = {
        "schema": SCHEMA,
        "cell": cell.name,
        "settings": record.settings,
        "results": record.results,
        "cost": rounded(asdict(record.cost)),
        "count": len(record.rows),
        "pairs": pack(record.rows),
        "pictures": None if record.layout is None else asdict(record.layout),
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def read_record(cell: Cell, out: Path) -> Record:
    """Read a finished cell; RunError when its record is damaged or of another cell."""
    try:
        content = parse_json(cell_file(cell, RECORD_FILE, out))
        if content["schema"] != SCHEMA:
            raise ValueError(
                f"its schema is {content['schema']}, not {SCHEMA}: another version of spf wrote it"
            )
        if content["cell"] != cell.name:
            raise ValueError(f"it is the record of {content['cell']}")
        rows, results, layout = unpack(content["pairs"], content["count"]), content["results"], None
        check_evaluation(results, rows)
        if content["pictures"]:
            layout = Layout(**content["pictures"])
        return Record(content["settings"], results, rows, Cost(**content["cost"]), layout)
    except _FAULTS as error:
        raise damaged(cell, out, error) from None


def damaged(cell: Cell, out: Path, error: BaseException | str) -> RunError:
    """The error for a cell whose files cannot be used."""
    kind = "" if isinstance(error, str) else f"{type(error).__name__}: "
    reason = f"{kind}{short(' '.join(str(error).split()), 160)}"
    return RunError(
        f"cell '{cell.folder(out)}' is damaged ({reason}); {how_to_delete(cell, out)} "
        f"and run the benchmark again"
    )


def _kept(row: Json) -> dict[str, Any]:
    scores = {name: each["tuned"] for name, each in row.get("scores", {}).items() if "tuned" in each}
    return {**{name: row[name] for name in _KEPT}, "scores": scores}


def _without_places(results: Json) -> Json:
    """Weights of scores are known by their hashes; where they lay is nobody's business."""
    models = {
        name: {key: Path(value).name if _is_place(value) else value for key, value in model.items()}
        for name, model in results.get("score_models", {}).items()
    }
    return {**results, "score_models": models}


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()
