"""Training folders: what is read, and what each kind of damage says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import Row, check_folder, load_image, open_rgb, read_folder
from spf_core.errors import DataError

GOOD = {"file_name": "0.png", "base_text": "a woman with red hair", "target_text": "wearing a hat"}


def write_folder(folder: Path, *rows: Any) -> Path:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (20, 10), "red").save(folder / "0.png")
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_a_row_needs_only_an_image_and_two_texts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", GOOD)
    assert read_folder(folder) == [Row(folder / "0.png", "a woman with red hair", "wearing a hat")]


def test_optional_phrases_mask_and_unknown_keys_are_kept_or_ignored(tmp_path: Path) -> None:
    row = {**GOOD, "base_phrases": ["red hair"], "mask": "0.png", "labels": {"hair": "red"}}
    (read,) = read_folder(write_folder(tmp_path / "d", row))
    assert read.base_phrases == ("red hair",)
    assert read.mask == tmp_path / "d" / "0.png"
    assert read.prompt.phrase_spans() == [(13, 21)]


def test_the_byte_order_mark_and_blank_lines_of_editors_are_accepted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", "\ufeff" + json.dumps(GOOD), "", "")
    assert len(read_folder(folder)) == 1


def _missing(tmp_path: Path) -> Path:
    return tmp_path / "d"


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    return tmp_path / "d"


def _file(tmp_path: Path) -> Path:
    (tmp_path / "d").write_text("x")
    return tmp_path / "d"


def _without_metadata(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path / "d")
    (folder / "metadata.jsonl").unlink()
    return folder


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "does not exist"),
        (_empty, "is empty"),
        (_file, "is not a folder"),
        (_without_metadata, "has no metadata.jsonl"),
        (lambda path: write_folder(path / "d"), "has no rows"),
    ],
)
def test_an_unusable_folder_says_why(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_folder(make(tmp_path))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{'file_name': 1}", "is not JSON"),
        ("[1, 2]", "is no JSON object: [1, 2]; write its keys and values in braces"),
        ("[" * 100_000, "is JSON that cannot be read"),
        ('{"file_name": "0.png", "file_name": "1.png"}', "'file_name' occurs twice"),
        ({"base_text": "a", "target_text": "b"}, "'file_name' is missing"),
        ({"file_name": "0.png", "base_text": "a"}, "'target_text' is missing"),
        ({**GOOD, "target_text": 7}, "'target_text' is 7; write a text"),
        ({**GOOD, "target_text": "  \t"}, "'target_text' is empty"),
        ({**GOOD, "base_text": ""}, "'base_text' is empty"),
        ({**GOOD, "target_text": GOOD["base_text"] + " "}, "target_text equals base_text"),
        ({**GOOD, "base_phrases": ["blue hair"]}, "'a woman with red hair'"),
        ({**GOOD, "base_phrases": "red hair"}, "write a list of texts"),
        ({**GOOD, "file_name": "1.png"}, "does not exist"),
        ({**GOOD, "file_name": "../d/0.png"}, "leads out of the folder"),
        ({**GOOD, "file_name": "/etc/0.png"}, "leads out of the folder"),
        ({**GOOD, "file_name": "C:\\0.png"}, "leads out of the folder"),
        ({**GOOD, "mask": "no.png"}, "does not exist"),
    ],
)
def test_a_bad_row_names_file_line_and_fault(tmp_path: Path, row: Any, words: str) -> None:
    folder = write_folder(tmp_path / "d", GOOD, row)
    with pytest.raises(DataError) as caught:
        read_folder(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'metadata.jsonl'}:2: ")
    assert words in message
    assert message.endswith(f"`spf data check {folder}` lists all problems")
    assert "\n" not in message


def test_of_a_folder_that_is_the_problem_the_check_would_list_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; give a folder of images$"):
        read_folder(tmp_path / "gone")


def test_a_problem_names_the_check_as_it_must_be_written_here(tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "0.png")
    (folder / "0.txt").write_text("an old man in a hat")
    with pytest.raises(DataError, match="does not contain the trigger") as caught:
        read_folder(folder, DatasetSection(trigger="wearing a hat"))
    assert f"`spf data check '{folder}' --trigger 'wearing a hat'` lists all" in str(caught.value)


@pytest.mark.parametrize("kept", [0, 20, 0.5])
def test_a_broken_or_truncated_image_is_found_before_training(tmp_path: Path, kept: float) -> None:
    folder = write_folder(tmp_path / "d", {**GOOD, "file_name": "1.jpg"})
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "1.jpg")
    content = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: image '.*1\.jpg' cannot be decoded"):
        read_folder(folder)


def test_check_collects_every_problem_and_counts_the_good_rows(tmp_path: Path) -> None:
    other = {**GOOD, "base_text": "a man"}
    report = check_folder(write_folder(tmp_path / "d", GOOD, "oops", other, {**GOOD, "base_text": ""}))
    assert [problem.split(": ")[0].rpartition(":")[2] for problem in report.problems] == ["2", "4"]
    assert report.sizes == {(20, 10): 2}
    assert report.base_texts == {"a woman with red hair": 1, "a man": 1}
    assert report.target_texts == {"wearing a hat": 2}


def test_check_warns_about_images_without_a_row_and_rows_listed_twice(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", GOOD, GOOD)
    Image.new("L", (4, 4)).save(folder / "left.png")
    report = check_folder(folder)
    assert not report.problems
    assert report.warnings[0] == "pictures with several rows (1): 0.png"
    assert "left.png" in report.warnings[1]


def test_a_mask_must_have_the_size_of_its_image(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", {**GOOD, "mask": "mask.png"})
    Image.new("L", (4, 4)).save(folder / "mask.png")
    assert "differ in size" in check_folder(folder).problems[0]


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "p.jpg", exif=exif)
    assert open_rgb(tmp_path / "p.jpg").size == (20, 40)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "p.png")
    assert open_rgb(tmp_path / "p.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("p.tif" if mode in {"CMYK", "YCbCr"} else "p.png")
    Image.new(mode, (4, 4)).save(path)
    assert open_rgb(path).mode == "RGB"


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "p.png")
    assert open_rgb(tmp_path / "p.png").getpixel((0, 0)) == (128, 128, 128)


def test_load_image_crops_the_centre_and_resizes(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (10, 0, 30, 20))
    picture.save(tmp_path / "p.png")
    pixels = load_image(Row(tmp_path / "p.png", "a", "b"), 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 255).all()


def test_reading_folders_needs_no_torch() -> None:
    code = "import sys, spf_core.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
