"""Whatever is written into captions, tables and folders, the readers lose nothing of it and never crash."""

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import check_folder, readable_rows

TRIGGER = "wearing a hat"
HAT = DatasetSection(trigger=TRIGGER)
# Characters that some reader or other takes for the end of a line, a cell or a text.
ODD = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\ufeff\xa0\u3000\t ,;.\"'\\|:-_"
WORDS = st.text(st.sampled_from(f"abczé漢🎩{ODD}"), min_size=1, max_size=12)
LINE_END = st.sampled_from(["\n", "\r\n", "\r"])
NAMES = st.sampled_from(["0", "1", ".x", "._0", "0-masklabel", "0.png", "Thumbs", "é", "a b"])
SUFFIXES = st.sampled_from([".png", ".PNG", ".jfif", ".heic", ".txt", ".TXT", ".caption", ".csv", ""])
FOLDERS = st.sampled_from(
    ["", "2_a man wearing a hat", "2024_x", "0_x", "more", "masks", ".hidden", "2_x/more", "__MACOSX"]
)

PICTURES = {".png", ".PNG", ".jfif", ".heic"}
PICTURE = io.BytesIO()
Image.new("RGB", (4, 4)).save(PICTURE, "png")
fast = settings(max_examples=80, deadline=None, derandomize=True)


@contextmanager
def a_folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp())
    try:
        yield place
    finally:
        shutil.rmtree(place)


def clean(text: str) -> str:
    return " ".join(text.split())


@fast
@given(st.lists(st.text("abcdef 漢\u2028\x85\x0b", min_size=1, max_size=9), min_size=1, max_size=5), LINE_END)
@example(["red\u2028hair", "blue\x85wall"], "\r")
def test_every_word_of_a_caption_is_in_its_row(lines: list[str], end: str) -> None:
    with a_folder() as folder:
        (folder / "0.png").write_bytes(PICTURE.getvalue())
        (folder / "0.txt").write_bytes(end.join(["portrait", TRIGGER, *lines, ""]).encode())
        report = check_folder(folder, HAT)
        assert not report.problems
        (row,) = report.rows
        assert "portrait" in row.base_text.split(",")[0]
        assert all(word in row.base_text for line in lines for word in line.split())


@fast
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4), st.booleans())
def test_texts_come_out_of_json_lines_as_they_went_in(texts: list[tuple[str, str]], escaped: bool) -> None:
    rows = [(f"base {base}.", f"target {target}.") for base, target in texts]
    with a_folder() as folder:
        lines = [
            json.dumps({"file_name": "0.png", "base_text": base, "target_text": target}, ensure_ascii=escaped)
            for base, target in rows
        ]
        (folder / "metadata.jsonl").write_bytes("\n".join(lines).encode())
        assert [(row.base_text, row.target_text) for row in readable_rows(folder)] == rows


@fast
@given(
    st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4),
    LINE_END,
    st.sampled_from(",;\t"),
    st.booleans(),
)
@example([("red\u2028hair", "a\x85b")], "\r", ",", False)
def test_texts_come_out_of_a_table_as_they_went_in(
    texts: list[tuple[str, str]], end: str, mark: str, broken: bool
) -> None:
    inner = "\r\n" if broken else ""  # a line end in a cell is part of the cell
    rows = [("0.png", f"base {base}{inner}.", f"target {target}.") for base, target in texts]
    with a_folder() as folder:
        written = io.StringIO(newline="")
        writer = csv.writer(written, delimiter=mark, lineterminator=end)
        writer.writerows([("file_name", "base_text", "target_text"), *rows])
        (folder / "metadata.csv").write_bytes(written.getvalue().encode())
        assert [("0.png", row.base_text, row.target_text) for row in readable_rows(folder)] == rows


@fast
@given(st.binary(max_size=60), st.sampled_from(["metadata.jsonl", "metadata.csv", "0.txt", "0.png"]))
@example(b'{"a": ' + b"9" * 5000 + b"}", "metadata.jsonl")
@example(b'{"a": 1, "a": 2}', "metadata.jsonl")
@example(b"a,a\n1,2", "metadata.csv")
@example(b'{"file_name": "0\\u0000.png", "base_text": "a", "target_text": "b"}', "metadata.jsonl")
@example(b'{"file_name": "\\ud83d.png", "base_text": "a", "target_text": "b"}', "metadata.jsonl")
@example(b'{"file_name": "' + b"x" * 5000 + b'", "base_text": "a", "target_text": "b"}', "metadata.jsonl")
def test_any_bytes_make_rows_or_problems(content: bytes, name: str) -> None:
    with a_folder() as folder:
        (folder / "0.png").write_bytes(PICTURE.getvalue())
        (folder / "0.txt").write_text(f"a man {TRIGGER}")
        (folder / name).write_bytes(content)
        report = check_folder(folder, HAT)
        assert report.rows or report.problems
        assert all("\n" not in clean(line) for line in [*report.problems, *report.warnings])


@fast
@given(st.sets(st.tuples(FOLDERS, NAMES, SUFFIXES), max_size=8))
def test_each_file_of_any_layout_is_read_named_or_hidden(files: set[tuple[str, str, str]]) -> None:
    with a_folder() as folder:
        (folder / "0.png").write_bytes(PICTURE.getvalue())
        (folder / "0.txt").write_text(f"a man {TRIGGER}")
        for place, name, suffix in files:
            file = folder / place / f"{name}{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                continue
            text = suffix.lower() in {".txt", ".caption", ".csv"}
            file.write_bytes(f"a man {TRIGGER}".encode() if text else PICTURE.getvalue())
        report = check_folder(folder, HAT)
        read = {file for row in report.rows for file in (row.image, row.mask)}
        said = "\n".join([*report.problems, *report.warnings])
        counted = " more" in said
        for file in sorted(folder.rglob("*")):
            parts = file.relative_to(folder).parts
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            if not file.is_file():
                continue
            if hidden:
                assert file not in read
            elif file.suffix.lower() not in {".txt", ".caption"} and (
                file.suffix in PICTURES or len(parts) == 1
            ):
                assert file in read or "/".join(parts) in said or str(folder / parts[0]) in said or counted
