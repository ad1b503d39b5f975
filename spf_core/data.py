"""Training folders: images beside a metadata.jsonl with their base and target texts. Torch-free."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from spf_core.errors import DataError
from spf_core.prompts import Prompt

METADATA = "metadata.jsonl"
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_REQUIRED = ("file_name", "base_text", "target_text")


@dataclass(frozen=True)
class Row:
    """One training example. `mask` marks the target's region, where the folder has such images.

    The target text is added to the base text, or takes the place of the words `replaces` in it.
    """

    image: Path
    base_text: str
    target_text: str
    base_phrases: tuple[str, ...] = ()
    mask: Path | None = None
    replaces: str | None = None

    @property
    def prompt(self) -> Prompt:
        """The row's texts, joined as training joins them."""
        return Prompt(self.base_text, self.target_text, self.base_phrases, self.replaces)


@dataclass
class FolderReport:
    """What `check_folder` found: usable rows, image sizes (width, height), problems and warnings."""

    rows: list[Row] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def base_texts(self) -> Counter[str]:
        """How often each base text occurs."""
        return Counter(row.base_text for row in self.rows)

    @property
    def target_texts(self) -> Counter[str]:
        """How often each target text occurs."""
        return Counter(row.target_text for row in self.rows)


def read_folder(path: Path) -> list[Row]:
    """Read a training folder, decoding every image once; DataError names the first problem."""
    rows = []
    for finding in _scan(path):
        if isinstance(finding, str):
            raise DataError(f"{finding}; `spf data check {path}` lists all problems")
        rows.append(finding[0])
    return rows


def check_folder(path: Path) -> FolderReport:
    """Read a training folder and collect every problem instead of stopping at the first."""
    report = FolderReport()
    for finding in _scan(path):
        if isinstance(finding, str):
            report.problems.append(finding)
        else:
            row, size = finding
            report.rows.append(row)
            report.sizes[size] += 1
    report.warnings = [*_repeated(report.rows), *_unlisted(path, report)]
    return report


def load_image(row: Row, size: int) -> np.ndarray:
    """The row's image, centre-cropped to a square and resized: uint8, `size` x `size` x 3, RGB."""
    square = _square(open_rgb(row.image))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS), dtype=np.uint8)


def refuse_maskless(rows: Iterable[Row]) -> None:
    """Raise DataError for the first row without a mask."""
    for row in rows:
        if row.mask is None:
            raise DataError(
                f"'{row.image}' has no mask, but a term or the map reads one; give each row a 'mask', "
                "a picture that is white where the target is"
            )


def load_mask(row: Row, size: int) -> np.ndarray:
    """The row's mask, cropped like its image and averaged down: float32, `size` x `size`, in [0, 1]."""
    assert row.mask is not None, "rows without a mask are refused before"
    square = _square(open_rgb(row.mask)).convert("L")
    return np.asarray(square.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255


def _square(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def open_rgb(path: Path) -> Image.Image:
    """Decode an image of any mode to RGB, upright by its EXIF tag, transparency over white.

    Raises DataError for a file that is missing, not an image, or cut short.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            return _to_rgb(upright)
    except FileNotFoundError:
        raise DataError(f"image '{path}' does not exist") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"image '{path}' cannot be decoded ({reason}); replace it or drop its row") from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _to_eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Rescale 16-bit and float greys, which Pillow would clip at 255."""
    values = np.asarray(picture, dtype=np.float64)
    top = 65535.0 if picture.mode.startswith("I") else 1.0 if values.max() <= 1 else 255.0
    return Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))


def _scan(path: Path) -> Iterator[tuple[Row, tuple[int, int]] | str]:
    """Yield each row with its image size, or the problem that keeps it from being one."""
    problem = _folder_problem(path)
    if problem:
        yield problem
        return
    count = 0
    for number, line in enumerate((path / METADATA).read_bytes().splitlines(), start=1):
        if line.strip():
            count += 1
            try:
                row = _parse_row(path, line)
                yield row, _check_pictures(row)
            except DataError as error:
                yield f"{path / METADATA}:{number}: {error}"
    if not count:
        yield f"{path / METADATA} has no rows; write one JSON object a line with {', '.join(_REQUIRED)}"


def _folder_problem(path: Path) -> str | None:
    if not path.exists():
        return f"data folder '{path}' does not exist"
    if not path.is_dir():
        return f"'{path}' is not a folder; give the folder that holds {METADATA} and the images"
    if not any(path.iterdir()):
        return f"data folder '{path}' is empty; put images and {METADATA} in it"
    if not (path / METADATA).is_file():
        return f"'{path}' has no {METADATA}: one JSON object a line with {', '.join(_REQUIRED)}"
    return None


def _parse_row(folder: Path, line: bytes) -> Row:
    values = _parse_json(line)
    texts = {key: _text(values, key) for key in _REQUIRED}
    base, target = texts["base_text"], texts["target_text"]
    if base == target:
        raise DataError(f"target_text equals base_text ('{_short(base)}'); name only what the target adds")
    mask = values.get("mask")
    replaces = None if values.get("replaces") is None else _text(values, "replaces")
    if replaces is not None and replaces not in base:
        raise DataError(f"'replaces' {json.dumps(replaces)} does not occur in base_text '{_short(base)}'")
    return Row(
        image=_inside(folder, "file_name", texts["file_name"]),
        base_text=base,
        target_text=target,
        base_phrases=_phrases(values, base),
        mask=None if mask is None else _inside(folder, "mask", _text(values, "mask")),
        replaces=replaces,
    )


def _parse_json(line: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError("is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"{error.msg} at column {error.colno}"
        raise DataError(f"is not JSON ({place}): {_short(line.decode())}") from None
    if not isinstance(values, dict):
        raise DataError(f"expected a JSON object, got {_short(json.dumps(values))}")
    return values


def _text(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        raise DataError(f"'{key}' is missing; keys here: {', '.join(values) or 'none'}")
    value = values[key]
    if not isinstance(value, str):
        raise DataError(f"'{key}' must be a text, got {_short(json.dumps(value))}")
    if not value.strip():
        raise DataError(f"'{key}' is empty")
    return value.strip()


def _phrases(values: Mapping[str, Any], base: str) -> tuple[str, ...]:
    phrases = values.get("base_phrases") or []
    if not isinstance(phrases, list):
        raise DataError(f"'base_phrases' must be a list of texts, got {_short(json.dumps(phrases))}")
    for phrase in phrases:
        if not isinstance(phrase, str) or not phrase.strip() or phrase not in base:
            phrase_text = _short(json.dumps(phrase))
            raise DataError(f"base phrase {phrase_text} does not occur in base_text '{_short(base)}'")
    return tuple(phrases)


def _inside(folder: Path, key: str, name: str) -> Path:
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
            raise DataError(f"'{key}' {name} leads out of the folder; use a path relative to it")
    return folder / name


def _check_pictures(row: Row) -> tuple[int, int]:
    """Decode the row's files fully and return the image's width and height."""
    size = open_rgb(row.image).size
    if row.mask is not None and open_rgb(row.mask).size != size:
        raise DataError(f"mask '{row.mask}' and image '{row.image}' differ in size")
    return size


def _repeated(rows: list[Row]) -> list[str]:
    counts = Counter(row.image for row in rows)
    return [f"'{image}' is listed {count} times" for image, count in counts.items() if count > 1]


def _unlisted(path: Path, report: FolderReport) -> list[str]:
    """One warning for images beside the rows' images that no row names; silent while rows are broken."""
    if report.problems:
        return []
    named = {picture for row in report.rows for picture in (row.image, row.mask)}
    folders = {row.image.parent for row in report.rows}
    files = {file for folder in folders for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES}
    left = sorted(file.relative_to(path).as_posix() for file in files - named)
    if not left:
        return []
    return [f"{len(left)} image(s) without a row in {METADATA} are not used: {_short(', '.join(left))}"]


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
