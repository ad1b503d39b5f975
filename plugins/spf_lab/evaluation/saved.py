"""An evaluation's files read back, and checked before anything is made of them. Torch-free.

They may come from elsewhere: a table or a page that is made of them must not fail half-way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from spf_core.utils.json_text import read_json, read_json_lines
from spf_core.utils.validation import explain

RESULTS_FILE, PAIRS_FILE = "results.json", "pairs.jsonl"

Json = Mapping[str, Any]
_Number = float | None


class _Saved(BaseModel):
    """Part of a file. What a later version adds is kept, and not looked at."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Estimate(_Saved):
    value: _Number
    ci: Annotated[list[_Number], Field(min_length=2, max_length=2)]


class _Leak(_Estimate):
    shift: _Estimate
    q: float


class _Missing(_Estimate):
    not_available: str


class _Score(_Estimate):
    original: _Estimate
    meaning: str
    better: Literal["higher", "lower"]
    pairs: int
    note: str | None
    failed: dict[str, str]
    root: bool = False


class _Point(_Saved):
    strength: float
    sps: _Estimate
    effect: _Estimate
    spi: _Estimate
    hit_rate: _Estimate
    base_leak: _Estimate
    delta_spi: _Estimate
    rec: _Estimate


class _Frontier(_Saved):
    points: list[_Point]
    spi_at_effect: dict[str, _Estimate]
    area: _Estimate


class _Calibration(_Saved):
    tau_ref: _Number
    floor: dict[str, float]
    parts: dict[str, str]


class _Purity(_Saved):
    set: str
    label: str
    mark: str = ""
    left_out: dict[str, str] = {}


class _Summary(_Saved):
    """What tables show of results.json; what older versions did not measure may be missing."""

    suite_label: str
    target: str
    n_prompts: PositiveInt
    n_seeds: PositiveInt
    adapter_hash: str
    purity: _Purity | None = None
    sps: _Estimate
    effect: _Estimate
    spi: _Estimate
    delta_spi: _Estimate
    rec: _Estimate
    hit_rate: _Estimate
    base_leak: _Estimate
    sps_original: _Estimate | None = None
    spi_original: _Estimate | None = None
    hit_rate_original: _Estimate | None = None
    parts: dict[str, _Estimate] = {}
    strata: dict[str, dict[str, _Estimate]] = {}
    ceiling: dict[str, dict[str, _Number]] = {}
    bias_rise: dict[str, _Estimate] = {}
    scores: dict[str, _Missing | _Score] = {}


class _Results(_Summary):
    """What tables, pages and figures are made from."""

    suite: str
    target_text: str
    split: str
    allowed_attributes: list[str]
    parts: dict[str, _Estimate]
    flips: dict[str, _Estimate]
    bias_rise: dict[str, _Estimate]
    caption_accuracy: dict[str, _Estimate]
    leakage: dict[str, Annotated[dict[str, _Leak], Field(min_length=1)]]
    calibration: _Calibration
    score_models: dict[str, dict[str, Any]] = {}
    preset: str
    model_hash: str
    training_bias: dict[str, str]
    sampling: dict[str, Any]
    seeds: dict[str, Any] | None = None
    environment: dict[str, str]
    seconds: _Number = None
    frontier: _Frontier | None = None


class _Distance(_Saved):
    distance: _Number
    reseed: _Number


class _Pair(_Saved):
    """What is read of a row of pairs.jsonl, or of a benchmark's record of it."""

    prompt: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    noise: Annotated[int, Field(ge=0, lt=2**64)]
    base_text: str
    complete_text: str
    tau: dict[Literal["a", "b", "c", "d", "a2"], _Number]
    spi: _Number
    region_share: _Number
    distances: dict[str, dict[str, _Distance]]
    scores: dict[str, dict[str, _Number] | _Number] = {}


_PAIRS = TypeAdapter(list[_Pair])
_Kind = TypeVar("_Kind", bound=_Summary)


def read_results(folder: Path) -> Json:
    """What results.json holds; OSError or ValueError when that is no summary of an evaluation."""
    results: Json = read_json(folder / RESULTS_FILE)
    _check(results, _Summary)
    return results


def read_evaluation(folder: Path) -> tuple[Json, list[Json]]:
    """What results.json and pairs.jsonl hold; OSError or ValueError when they are no whole evaluation."""
    results, rows = read_json(folder / RESULTS_FILE), read_json_lines(folder / PAIRS_FILE)
    check_evaluation(results, rows)
    return results, rows


def check_evaluation(results: Any, rows: Any) -> None:
    """ValueError says what is no result of an evaluation, or that rows are missing."""
    found = _check(results, _Results)
    if noise := noise_on_cpu(found.calibration.floor, found.environment):
        raise ValueError(
            f"{RESULTS_FILE}: calibration.floor {noise} on a CPU, where repeated sampling gives the same "
            "pixels: the measurement is wrong; evaluate again"
        )
    try:
        pairs: Sequence[_Pair] = _PAIRS.validate_python(rows)
    except ValidationError as error:
        raise ValueError(f"{PAIRS_FILE}, row {explain(error, '', _Pair)}") from None
    if len(pairs) != found.n_prompts * found.n_seeds:
        raise ValueError(f"{len(pairs)} of {found.n_prompts * found.n_seeds} pairs")
    for number, pair in enumerate(pairs):
        missing = {"a", "b", "c", "d"} - pair.tau.keys()
        for name in ("tuned", "prompted", "base"):
            missing |= found.calibration.parts.keys() - pair.distances.get(name, {}).keys()
        if missing:
            raise ValueError(f"{PAIRS_FILE}, row {number} lacks {', '.join(sorted(missing))}")


def noise_on_cpu(floor: Mapping[str, float], environment: Mapping[str, str]) -> str | None:
    """`metric=value` of the highest noise floor where it cannot be: a CPU repeats a draw exactly."""
    name = max(floor, key=lambda each: floor[each], default="")
    if environment.get("device") != "cpu" or not name or floor[name] <= 0:
        return None
    return f"{name}={floor[name]:.3g}"


def _check(results: Any, kind: type[_Kind]) -> _Kind:
    try:
        return kind.model_validate(results)
    except ValidationError as error:
        raise ValueError(f"{RESULTS_FILE}: {explain(error, '', kind)}") from None
