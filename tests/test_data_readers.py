"""Readers of others: which one reads a source, and what becomes of their faults."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spf_core.config.loading import load_run_config
from spf_core.data import Caption, DatasetSection, Reading, Row, check_folder, keep_image, read_folder
from spf_core.data.prepare import find_captions
from spf_core.errors import DataError
from spf_core.plugins import DataReaderConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.plugins.readers import reader_for, readers_of
from spf_core.preparation.rows import rows_of

BY = "data-reader 'mine' of plugin 'my-package' 1.2"
TABLE = "mine.json"
Readings = Callable[[str], Iterator[Any]]


def reader(readings: Readings, *, recognises: Any = None, **methods: Any) -> type[DataReaderConfig]:
    """A reader of somebody else that yields these readings."""

    class Read:
        def recognises(self, data: str) -> bool:
            return recognises(data) if recognises else (Path(data) / TABLE).is_file()  # type: ignore[no-any-return]

        def readings(self, data: str, options: DatasetSection) -> Iterator[Reading]:
            return readings(data)

    class Mine(DataReaderConfig):
        """Reads a layout of its own."""

        name = "mine"
        reads = "mine.json"

        def build(self) -> Any:
            return type("Read", (Read,), methods)()

    return Mine


def installed(readings: Readings, **options: Any) -> tuple[Plugins, DataReaderConfig]:
    plugins, config = load_plugins(), reader(readings, **options)
    plugins.add(config, "my-package", "1.2")
    return plugins, config()


def of(read: Callable[[Path], Any]) -> Readings:
    """One reading at a place."""

    def readings(data: str) -> Iterator[Reading]:
        folder = Path(data)
        yield Reading(f"{folder / TABLE}:7", partial(read, folder), (folder / TABLE, folder / "0.png"))

    return readings


def good(folder: Path) -> Row:
    return Row(folder / "0.png", "a man", "wearing a hat")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    Image.new("RGB", (8, 8), "red").save(place / "0.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "outside.png")
    (place / TABLE).write_text("{}", encoding="utf-8")
    return place


def test_its_rows_are_read(folder: Path) -> None:
    _, mine = installed(of(good))
    report = check_folder(folder, reader=mine)
    assert (report.rows, report.problems, report.warnings) == ([good(folder)], [], [])


def stops(error: BaseException) -> Callable[[Path], Row]:
    def read(folder: Path) -> Row:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (stops(ValueError("bad line")), "its reader failed: ValueError: bad line"),
        (stops(SystemExit(3)), "its reader failed: SystemExit: 3"),
        (stops(DataError("has no text; write one")), "has no text; write one"),
        (lambda folder: {"image": "0.png"}, "returns {'image': '0.png'}; return a spf_core.data.Row"),
        (lambda folder: Row(folder / "1.png", "a man", "a hat"), "1.png' does not exist"),
        (lambda folder: Row(folder.parent / "outside.png", "a", "b"), "lies outside the data folder"),
        (lambda folder: Row(folder / ".." / "outside.png", "a", "b"), "lies outside the data folder"),
        (lambda folder: Row(folder / "0.png", "a", "b", mask=folder.parent / "outside.png"), "outside"),
        (lambda folder: Row("0.png", "a", "b"), "'image' of the row is '0.png'; give it a Path"),  # type: ignore[arg-type]
        (lambda folder: Row(folder / "0.png", "a", None), "'target_text' of the row is None"),  # type: ignore[arg-type]
        (lambda folder: Row(folder / "0.png", " ", "b"), "'base_text' is empty"),
        (lambda folder: Row(folder / "0.png", "a", "a"), "target_text equals base_text"),
        (lambda folder: Row(folder / "0.png", "a", "b", ("c",)), 'phrase "c" does not occur'),
        (lambda folder: Row(folder / "0.png", "a", "b", replaces="c"), "'replaces' \"c\" does not occur"),
        (lambda folder: Row(folder / "0.png", "a", "b", repeats=0), "'repeats' is 0; write a whole number"),
    ],
)
def test_a_fault_of_a_row_is_one_line_with_its_place_and_its_reader(
    folder: Path, read: Callable[[Path], Any], words: str
) -> None:
    _, mine = installed(of(read))
    (problem,) = check_folder(folder, reader=mine).problems
    assert problem.startswith(f"{folder / TABLE}:7: ")
    assert problem.endswith(f"({BY})")
    assert words in problem
    assert "\n" not in problem


def fails(data: str) -> Iterator[Reading]:
    yield from of(good)(data)
    raise RuntimeError("the table ends early")


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        (fails, "its reader failed: RuntimeError: the table ends early"),
        (lambda data: iter([good(Path(data))]), "its reader yields Row("),
        (lambda data: None, "its reader failed: TypeError"),
        (lambda data: iter([]), "has no rows"),
    ],
)
def test_a_reader_that_fails_is_named_and_its_rows_stay(folder: Path, readings: Any, words: str) -> None:
    _, mine = installed(readings)
    report = check_folder(folder, reader=mine)
    (problem,) = report.problems
    assert words in problem
    assert BY in problem
    assert len(report.rows) == (readings is fails)


def test_spfs_own_readers_are_asked_first(folder: Path) -> None:
    def recognises(data: str) -> bool:
        raise AssertionError("nobody asks")

    plugins, _ = installed(of(good), recognises=recognises)
    row = {"file_name": "0.png", "base_text": "a man", "target_text": "a hat"}
    (folder / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    config = load_run_config(plugins, preset="lora", overrides={"data": str(folder)})
    assert config.reader is None


def test_a_reader_that_cannot_look_is_left_out_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def recognises(data: str) -> bool:
        raise ValueError("odd")

    plugins, _ = installed(of(good), recognises=recognises)
    with caplog.at_level(logging.WARNING, logger="spf"):
        assert reader_for(str(folder), readers_of(plugins)) is None
    assert f"{BY} cannot tell whether it reads" in caplog.text
    assert "ValueError: odd" in caplog.text


def test_the_reader_of_a_plugin_becomes_part_of_the_configuration(folder: Path, tmp_path: Path) -> None:
    plugins, _ = installed(of(good))
    config = load_run_config(plugins, preset="lora", overrides={"data": str(folder)})
    assert config.reader is not None
    assert config.reader.name == "mine"
    assert rows_of(config.preparation) == [good(folder)]
    (tmp_path / "saved.yaml").write_text(config.dump(), encoding="utf-8")
    assert load_run_config(plugins, file=tmp_path / "saved.yaml") == config


@pytest.mark.parametrize("given", [{"chosen": ["metadata-csv"]}, {"assignments": ["reader=metadata-csv"]}])
def test_a_reader_is_chosen_by_name(folder: Path, plugins: Plugins, given: Any) -> None:
    for name in ("metadata.jsonl", "metadata.csv"):
        (folder / name).write_text("file_name,base_text,target_text\n0.png,a man,a hat\n", encoding="utf-8")
    config = load_run_config(plugins, preset="lora", overrides={"data": str(folder)}, **given)
    assert [row.base_text for row in rows_of(config.preparation)] == ["a man"]


def test_a_chosen_reader_that_does_not_know_the_source_says_what_it_reads(tmp_path: Path) -> None:
    _, mine = installed(of(good))
    with pytest.raises(DataError, match="does not recognise") as caught:
        read_folder(tmp_path, reader=mine)
    assert all(words in str(caught.value) for words in (BY, "it reads mine.json", "leave out `reader`"))


def test_what_nobody_recognises_names_who_was_asked(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(DataError, match=r"\(readers: metadata-jsonl, metadata-csv, hf-dataset, captioned"):
        read_folder(tmp_path)


def test_images_inside_of_a_file_are_kept_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    archive, picture = tmp_path / "photos.zip", io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("0.png", picture.getvalue())

    def row(content: bytes) -> Row:
        return Row(keep_image(content, ".png"), "a man", "a hat")

    def readings(data: str) -> Iterator[Reading]:
        with zipfile.ZipFile(data) as opened:
            for name in opened.namelist():
                content = opened.read(name)
                yield Reading(f"{data}, {name}", partial(row, content))

    _, mine = installed(readings, recognises=zipfile.is_zipfile)
    (read,) = read_folder(archive, reader=mine)
    assert read.image.is_relative_to(tmp_path / "cache")
    assert read.image.read_bytes() == picture.getvalue()


def test_files_that_no_reading_names_are_told(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "1.png")
    _, mine = installed(of(good))
    (warning,) = check_folder(folder, reader=mine).warnings
    assert warning == "pictures without a row in the data of 'mine', which are not read (1): 1.png"


def test_a_reader_may_give_advice_of_its_own(folder: Path) -> None:
    def warnings(self: Any, data: str, options: DatasetSection, read: Any) -> list[str]:
        return [f"{len(read)} files\nare read"]

    _, mine = installed(of(good), warnings=warnings)
    assert check_folder(folder, reader=mine).warnings == ["2 files are read"]


def test_captions_of_a_reader_are_prepared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def captions(self: Any, data: str, options: DatasetSection) -> Iterator[Any]:
        yield f"{TABLE}:1", lambda: Caption("0.png", "a man, wearing a hat", {})
        yield f"{TABLE}:2", lambda: None

    plugins, _ = installed(of(good), captions=captions)
    monkeypatch.setattr("spf_core.data.source.installed_readers", lambda: readers_of(plugins))
    found, ((place, reason),) = find_captions(folder, DatasetSection())
    assert [each.text for each in found] == ["a man, wearing a hat"]
    assert place == f"{TABLE}:2"
    assert "returns None" in reason


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        (Caption(Path("0.png"), "a man", {}), "a Caption has the image"),  # type: ignore[arg-type]
        (Caption("0.png", "a man", None), "has the values None; give a mapping"),  # type: ignore[arg-type]
        (Caption("/0.png", "a man", {}), "name one of the data folder, relative to it"),
        (Caption("7.png", "a man", {}), "name one of the data folder, relative to it"),
    ],
)
def test_a_caption_that_cannot_be_written_is_left_out_with_its_reader(
    folder: Path, caption: Caption, words: str
) -> None:
    def captions(self: Any, data: str, options: DatasetSection) -> Iterator[Any]:
        yield f"{TABLE}:1", lambda: caption

    _, mine = installed(of(good), captions=captions)
    found, ((_, reason),) = find_captions(folder, DatasetSection(), mine)
    assert not found
    assert words in reason
    assert reason.endswith("(data-reader 'mine' of plugin 'my-package' 1.2)"), reason


def test_a_reader_that_finds_no_captions_is_named(folder: Path) -> None:
    _, mine = installed(of(good), captions=lambda self, data, options: iter(()))
    with pytest.raises(DataError, match=r"my-package' 1\.2 finds no captions in .* --set reader=NAME"):
        find_captions(folder, DatasetSection(), mine)
