"""Pictures to compare: evaluation folders, or a benchmark's cells, brought together by prompt and noise."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from spf_core.errors import DataError, unknown
from spf_core.utils.json_text import NotJsonError, parse_json
from spf_core.utils.paths import expanded
from spf_core.utils.special_files import refuse_special
from spf_core.utils.validation import Text, explain
from spf_core.utils.yaml_text import read_yaml
from spf_lab.benchmark.archive import is_finished
from spf_lab.benchmark.folder import RECORD
from spf_lab.benchmark.plan import all_cells
from spf_lab.benchmark.spec import parse_benchmark
from spf_lab.evaluation.saved import PAIRS_FILE, RESULTS_FILE

SURE = 0.9  # the judge's probability from which a picture surely shows the target; below 1 - SURE surely not


@dataclass(frozen=True)
class Scene:
    """A prompt with its noise, drawn by the original and by every method.

    A method has one picture for each of its training seeds. `certain` names the methods whose pictures surely
    show the target while the original's surely does not.
    """

    target: str
    target_text: str
    base_text: str
    noise: int
    original: Path
    pictures: Mapping[str, tuple[Path, ...]]
    certain: tuple[str, ...]

    @property
    def person(self) -> tuple[str, int]:
        """What is the same under every target: the original's picture."""
        return self.base_text, self.noise


@dataclass(frozen=True)
class Sources:
    """The methods that are compared, the scenes that all of them drew, and the world they come from."""

    label: str
    methods: tuple[str, ...]
    scenes: tuple[Scene, ...]


class _Results(BaseModel):
    """What a study reads of results.json."""

    model_config = ConfigDict(frozen=True)
    suite_label: str
    target: str
    target_text: Text
    model_hash: str | None = None


class _Pair(BaseModel):
    """What a study reads of a row of pairs.jsonl."""

    model_config = ConfigDict(frozen=True)
    prompt: int
    seed: int
    noise: int
    base_text: Text
    tau: Mapping[str, float | None] = {}

    @property
    def certain(self) -> bool:
        before, after = self.tau.get("a"), self.tau.get("c")
        return before is not None and after is not None and before < 1 - SURE and after > SURE


@dataclass(frozen=True)
class _Evaluation:
    method: str
    folder: Path
    results: _Results
    pairs: tuple[_Pair, ...]

    def original(self, pair: _Pair) -> Path:
        return self.folder / "images" / f"original-{pair.prompt:03d}.png"

    def tuned(self, pair: _Pair) -> Path:
        return self.folder / "images" / f"tuned-{pair.prompt:03d}.png"


_Key = tuple[str, str, str, int]
_Model = TypeVar("_Model", bound=BaseModel)


def read_sources(sources: Sequence[str], methods: Sequence[str] = ()) -> Sources:
    """Read `DIR` or `NAME=DIR` each; a benchmark's folder gives all presets. `methods` chooses among them.

    Raises DataError when a folder or file cannot be used, fewer than two methods remain, they come from
    different worlds or base models, or no prompt and noise is common to all; ConfigError for an unknown
    method.
    """
    _refuse_same_names(sources)
    found = [evaluation for source in sources for evaluation in _expand(source, methods)]
    names = tuple(dict.fromkeys(each.method for each in found))
    for name in methods:
        if name not in names:
            raise unknown("method", name, names)
    chosen = tuple(name for name in names if name in methods or not methods)
    if len(chosen) < 2:
        listing = ", ".join(chosen) or "none"
        raise DataError(f"a study compares at least 2 methods, found: {listing}; name more folders")
    used = [each for each in found if each.method in chosen]
    _refuse_mixed(used)
    return Sources(used[0].results.suite_label, chosen, _common_scenes(used, chosen))


def _refuse_same_names(sources: Sequence[str]) -> None:
    """Two folders may share a name that was given to them: targets or training seeds of one method."""
    names = [Path(source).resolve().name for source in sources if "=" not in source]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two sources are called '{name}'; say which method each is: NAME=DIR")


def _expand(source: str, methods: Sequence[str]) -> Iterator[_Evaluation]:
    name, sign, place = source.rpartition("=")
    folder = Path(expanded(place))
    if not folder.is_dir():
        raise DataError(f"source '{place}' is not a folder; give what spf evaluate or spf benchmark wrote")
    if (folder / RECORD).is_file():
        if sign:
            raise DataError(
                f"source '{source}': a benchmark's presets have names already; leave out '{name}='"
            )
        yield from _cells(folder, methods)
    elif (folder / RESULTS_FILE).is_file():
        yield _read(name or folder.resolve().name, folder)
    else:
        raise DataError(
            f"source '{folder}' has neither {RESULTS_FILE} nor {RECORD}; "
            "give what spf evaluate or spf benchmark wrote"
        )


def _cells(folder: Path, methods: Sequence[str]) -> Iterator[_Evaluation]:
    """Evaluations of a benchmark; a record alone keeps too few pictures for a study."""
    spec = parse_benchmark(read_yaml(folder / RECORD), str(folder / RECORD))
    for cell in all_cells(spec):
        if (cell.evaluation(folder) / RESULTS_FILE).is_file():
            yield _read(cell.entry.name, cell.evaluation(folder))
        elif is_finished(cell, folder) and cell.entry.name in (methods or [cell.entry.name]):
            raise DataError(
                f"'{cell.evaluation(folder)}' is not there: the record beside it serves tables, but a study "
                f"needs the pictures; take the folder where the benchmark ran, or run it again: "
                f"spf benchmark {shlex.quote(str(folder / RECORD))} --out DIR"
            )


def _read(method: str, folder: Path) -> _Evaluation:
    results = _parse(_Results, folder / RESULTS_FILE, _text(folder / RESULTS_FILE))
    lines = _text(folder / PAIRS_FILE).split("\n")
    rows = [
        _parse(_Pair, f"{folder / PAIRS_FILE}:{number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    evaluation = _Evaluation(method, folder, results, tuple(row for row in rows if row.seed == 0))
    kept = tuple(row for row in evaluation.pairs if evaluation.tuned(row).is_file())
    if not kept:
        raise DataError(f"'{folder}' keeps no images; evaluate again with --keep 100 or more")
    return _Evaluation(method, folder, results, kept)


def _text(file: Path) -> str:
    try:
        refuse_special(file)
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"'{file}' does not exist; finish the evaluation with spf evaluate") from None
    except UnicodeDecodeError:
        raise DataError(f"'{file}' is damaged: not UTF-8 text; evaluate again") from None


def _parse(model: type[_Model], place: object, text: str) -> _Model:
    try:
        return model.model_validate(parse_json(text))
    except NotJsonError as error:
        raise DataError(f"'{place}' is damaged: {error}; evaluate again") from None
    except ValidationError as error:
        raise DataError(f"'{place}': {explain(error, '', model)}") from None


def _refuse_mixed(found: Sequence[_Evaluation]) -> None:
    first = found[0]
    for each in found[1:]:
        for what, one, other in (
            ("world", first.results.suite_label, each.results.suite_label),
            ("base model", first.results.model_hash, each.results.model_hash),
        ):
            if one != other:
                raise DataError(
                    f"another {what}: {one} in '{first.folder}', {other} in '{each.folder}'; "
                    "compare evaluations that share it"
                )


def _common_scenes(found: Sequence[_Evaluation], methods: Sequence[str]) -> tuple[Scene, ...]:
    gathered: dict[_Key, dict[str, list[tuple[_Evaluation, _Pair]]]] = {}
    for each in found:
        for pair in each.pairs:
            key = (each.results.target, each.results.target_text, pair.base_text, pair.noise)
            gathered.setdefault(key, {}).setdefault(each.method, []).append((each, pair))
    scenes = tuple(
        _scene(key, drawn, methods) for key, drawn in gathered.items() if len(drawn) == len(methods)
    )
    if not scenes:
        raise DataError(
            f"{', '.join(methods)} have no prompt in common of which all kept a picture; "
            f"evaluate them on the same prompts and seeds, with the same target text"
        )
    return scenes


def _scene(
    key: _Key, drawn: Mapping[str, Sequence[tuple[_Evaluation, _Pair]]], methods: Sequence[str]
) -> Scene:
    evaluation, pair = drawn[methods[0]][0]
    return Scene(
        *key,
        original=evaluation.original(pair),
        pictures={name: tuple(each.tuned(row) for each, row in drawn[name]) for name in methods},
        certain=tuple(name for name in methods if all(row.certain for _, row in drawn[name])),
    )
