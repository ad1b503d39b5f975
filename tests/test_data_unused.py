"""Whatever lies in a training folder is read where that is meant; what is not read is named."""

import json
import logging
import os
from pathlib import Path

import pytest
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import check_folder, read_folder
from spf_core.errors import DataError

HAT = DatasetSection(trigger="wearing a hat")
TEXT = "a man, wearing a hat"


def picture(file: Path, size: tuple[int, int] = (20, 10), form: str | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(file, format=form)
    return file


def text(file: Path, words: str = TEXT) -> Path:
    file.write_bytes(words.encode())
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One captioned picture, `0.png`."""
    text(picture(tmp_path / "x" / "0.png").with_suffix(".txt"))
    return tmp_path / "x"


def names(folder: Path) -> list[str]:
    return [row.image.relative_to(folder).as_posix() for row in read_folder(folder, HAT)]


def warnings(folder: Path) -> list[str]:
    report = check_folder(folder, HAT)
    assert not report.problems
    return report.warnings


def table(folder: Path, *rows: dict[str, object]) -> Path:
    lines = [{"file_name": "0.png", "base_text": "a man", "target_text": "a hat", **row} for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


# -- read


@pytest.mark.parametrize("caption", ["1.TXT", "1.Caption", "1.JPG.txt", "1.JPG.CAPTION", "1.jpg.txt"])
def test_captions_are_read_whatever_the_case_of_their_suffix(folder: Path, caption: str) -> None:
    picture(folder / "1.JPG")
    text(folder / caption)
    assert names(folder) == ["0.png", "1.JPG"]
    assert warnings(folder) == []


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".avif", ".TIFF", ".jp2", ".ppm"])
def test_pictures_are_read_where_pillow_can(folder: Path, suffix: str) -> None:
    forms = {".jfif": "JPEG", ".JPE": "JPEG", ".avif": "AVIF"}
    if suffix == ".avif" and suffix not in Image.registered_extensions():
        pytest.skip("Pillow is built without AVIF")
    text(picture(folder / f"1{suffix}", form=forms.get(suffix)).with_suffix(".txt"))
    assert names(folder) == ["0.png", f"1{suffix}"]


@pytest.mark.parametrize(
    ("written", "caption"),
    [
        ("a man wearing a hat.\n\nRed hair. Blue wall.\n", "a man. Red hair. Blue wall"),
        ("a man\rwearing a hat\rred hair", "a man, red hair"),
        ("a man wearing a hat,\r\nred hair\r\n", "a man, red hair"),
    ],
)
def test_all_lines_of_a_caption_are_one_text(folder: Path, written: str, caption: str) -> None:
    text(folder / "0.txt", written)
    assert [row.base_text for row in read_folder(folder, HAT)] == [caption]


@pytest.mark.parametrize(
    "mask", ["0-masklabel.PNG", "0-MaskLabel.jpg", "masks/0.WEBP", "masks/0-masklabel.png"]
)
def test_masks_are_found_whatever_their_suffix(folder: Path, mask: str) -> None:
    picture(folder / mask)
    assert [row.mask for row in read_folder(folder, HAT)] == [folder / mask]
    assert warnings(folder) == []


@pytest.mark.parametrize(
    ("image", "caption"),
    [("IMG.png", "img.txt"), ("e\u0301.png", "\u00e9.txt"), ("\u00e9.png", "e\u0301.txt")],
)
def test_captions_are_read_whose_name_another_system_writes_otherwise(
    folder: Path, image: str, caption: str
) -> None:
    picture(folder / image)
    text(folder / caption)
    assert sorted(names(folder)) == ["0.png", image]
    assert warnings(folder) == []


def test_a_caption_belongs_to_the_picture_of_exactly_its_name(folder: Path) -> None:
    for name in ("A.png", "a.png"):
        picture(folder / name)
    text(folder / "a.txt")
    (problem,) = check_folder(folder, HAT).problems
    assert "A.png' has no caption" in problem


@pytest.mark.parametrize(
    ("stored", "written"),
    [("img/1.png", "img\\1.png"), ("1.PNG", "1.png"), ("1.png", "1.PNG"), ("e\u0301.png", "\u00e9.png")],
)
def test_a_table_names_files_as_another_system_writes_them(folder: Path, stored: str, written: str) -> None:
    picture(folder / stored)
    table(folder, {}, {"file_name": written})
    assert names(folder) == ["0.png", stored]
    assert warnings(folder) == []


def test_the_folder_of_masks_may_be_called_in_upper_case(folder: Path) -> None:
    mask = picture(folder / "Masks" / "0.png")
    assert read_folder(folder, HAT)[0].mask == mask
    assert warnings(folder) == []


def test_captioned_pictures_beside_sub_folders_with_repeats_are_read(folder: Path) -> None:
    text(picture(folder / "3_more" / "1.png").with_suffix(".txt"))
    picture(folder / "preview.png")
    assert names(folder) == ["0.png", "3_more/1.png"]
    assert [row.repeats for row in read_folder(folder, HAT)] == [1, 3]
    (warning,) = warnings(folder)
    assert warning.startswith("pictures without a caption, which are not read (1): preview.png")


@pytest.mark.parametrize(
    "name",
    ["._0.png", ".thumb.png", "Thumbs.db", ".hidden/1.png", "__MACOSX/1.png", "#recycle/1.png", "~$0.txt"],
)
def test_hidden_files_and_those_of_the_system_are_no_data(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\0\5\026\7")
    text((folder / name).with_suffix(".txt"), "nothing")
    assert names(folder) == ["0.png"]
    if name != "Thumbs.db":  # a caption Thumbs.txt is not of the system
        assert warnings(folder) == []


# -- asked about


def test_a_year_is_no_number_of_repeats(folder: Path) -> None:
    text(picture(folder / "2024_old backup" / "1.png").with_suffix(".txt"))
    report = check_folder(folder, HAT)
    assert [row.image.name for row in report.rows] == ["0.png"]
    (problem,) = report.problems
    assert problem.startswith(f"{folder / '2024_old backup'}: its name asks for 2024 repeats")
    assert "rename it to '1_old backup'" in problem
    with pytest.raises(DataError, match="2024_old backup"):
        read_folder(folder, HAT)


@pytest.mark.parametrize("repeats", ["1001", "0", "1e3", '"2024"', "true", "1" + "0" * 5000])
def test_a_row_of_a_table_is_not_repeated_beyond_reason(folder: Path, repeats: str) -> None:
    line = '{"file_name": "0.png", "base_text": "a", "target_text": "b", "repeats": %s}'
    text(folder / "metadata.jsonl", line % repeats)
    with pytest.raises(
        DataError,
        match=r"metadata\.jsonl:1: ('repeats' is .*; write a whole number|is JSON that cannot be read)",
    ):
        read_folder(folder)


# -- named


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("1.HEIC", "pictures of a file type that is not read (1): 1.HEIC; save"),
        ("1.jxl", "pictures of a file type that is not read (1): 1.jxl; save"),
        ("lost.txt", "captions without a picture (1): lost.txt"),
        ("LOST.CAPTION", "captions without a picture (1): LOST.CAPTION"),
        ("0.caption", "captions that are not read, as their picture has another (1): 0.caption"),
        ("0.png.txt", "captions that are not read, as their picture has another (1): 0.png.txt"),
        ("tags.csv", "tables that are not read, as the rows come from captions (1): tags.csv"),
        ("metadata.json", "tables that are not read, as the rows come from captions (1): metadata.json"),
    ],
)
def test_files_that_no_row_reads_are_named(folder: Path, name: str, words: str) -> None:
    text(folder / name)
    (warning,) = warnings(folder)
    assert warning.startswith(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("more/1.png", "pictures in sub-folders that are not read (1): more/1.png; move them up"),
        ("0_none/1.png", "pictures in sub-folders that are not read (1): 0_none/1.png"),
        ("a/b/c/1.JPG", "pictures in sub-folders that are not read (1): a/b/c/1.JPG"),
        ("lost-masklabel.png", "masks that are not read, as no picture of their name lacks one (1): lost-"),
        ("masks/lost.png", "masks that are not read, as no picture of their name lacks one (1): masks/lost"),
        (
            "mask/0.png",
            "masks in sub-folders that are not read (1): mask/0.png; name their sub-folder 'masks'",
        ),
        ("photo", "pictures of a file type that is not read (1): photo; save"),
        ("1.jpg_large", "pictures of a file type that is not read (1): 1.jpg_large; save"),
    ],
)
def test_pictures_that_no_row_reads_are_named(folder: Path, name: str, words: str) -> None:
    picture(folder / name, form="PNG")
    (warning,) = warnings(folder)
    assert warning.startswith(words)


def test_pictures_of_a_sub_folder_that_is_a_problem_are_not_named_too(folder: Path) -> None:
    text(picture(folder / "2024_old" / "1.png").with_suffix(".txt"))
    report = check_folder(folder, HAT)
    assert len(report.problems) == 1
    assert report.warnings == []


def test_pipes_are_not_opened(folder: Path) -> None:
    for name in ("1.foo", "2", "masks"):
        os.mkfifo(folder / name)
    assert warnings(folder) == []


def test_a_picture_that_a_link_repeats_is_named(folder: Path) -> None:
    (folder / "10_again").symlink_to(folder)
    assert "pictures with several rows (2)" in warnings(folder)[0]


def test_a_caption_whose_picture_is_named_is_not_named_too(folder: Path) -> None:
    text(picture(folder / "1.heic", form="PNG").with_suffix(".txt"))
    text(picture(folder / "more" / "2.png").with_suffix(".txt"))
    assert [warning.split(" (")[0] for warning in warnings(folder)] == [
        "pictures of a file type that is not read",
        "pictures in sub-folders that are not read",
    ]


def test_the_first_names_stand_in_a_warning_and_the_others_are_counted(folder: Path) -> None:
    for number in range(30):
        text(folder / f"lost{number:02}.txt")
    assert warnings(folder) == [
        "captions without a picture (30): "
        "lost00.txt, lost01.txt, lost02.txt, lost03.txt, lost04.txt and 25 more"
    ]


def test_a_folder_of_nothing_but_pictures_may_be_captioned_by_its_name(tmp_path: Path) -> None:
    picture(tmp_path / "2_a man wearing a hat" / "0.png")
    assert warnings(tmp_path) == []
    text(tmp_path / "2_a man wearing a hat" / "0.tags", "red hair")
    (warning,) = warnings(tmp_path)
    assert warning == (
        "pictures without a caption file, whose caption is the name of their sub-folder (1): "
        "2_a man wearing a hat/0.png"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("left.png", "pictures without a row in metadata.jsonl, which are not read (1): left.png"),
        ("train/1.png", "pictures without a row in metadata.jsonl, which are not read (1): train/1.png"),
        ("lost.txt", "captions without a picture (1): lost.txt"),
        ("1.dng", "pictures of a file type that is not read (1): 1.dng"),
        ("metadata.csv", "tables that are not read, as the rows come from metadata.jsonl (1): metadata.csv"),
    ],
)
def test_what_no_line_of_a_table_names_is_named(folder: Path, name: str, words: str) -> None:
    picture(table(folder, {}) / name, form="PNG")
    (warning,) = warnings(folder)
    assert warning.startswith(words)


def test_what_a_faulty_line_names_is_not_called_unnamed(folder: Path) -> None:
    picture(folder / "1.png")
    picture(folder / "left.png")
    report = check_folder(table(folder, {}, {"file_name": "1.png", "base_text": ""}))
    assert len(report.problems) == 1
    assert report.warnings == ["pictures without a row in metadata.jsonl, which are not read (1): left.png"]


@pytest.mark.parametrize("column", ["masks", "Mask", "mask_file_name", "num_repeats", "base_phrase"])
def test_columns_that_are_called_like_one_with_a_meaning_are_named(folder: Path, column: str) -> None:
    (warning,) = warnings(table(folder, {column: 3}))
    assert warning == f"columns that are not read: {column}; spf reads base_phrases, replaces, mask, repeats"


def test_training_logs_the_warnings_of_the_check(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    text(folder / "lost.txt")
    with caplog.at_level(logging.WARNING, "spf"):
        read_folder(folder, HAT)
    assert caplog.messages == check_folder(folder, HAT).warnings


def test_a_folder_whose_sub_folder_can_be_read_says_so(folder: Path) -> None:
    with pytest.raises(DataError, match=rf"its sub-folder '{folder}' can be read"):
        read_folder(folder.parent, HAT)


# -- links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the training folder, with a picture and a text."""
    text(picture(tmp_path / "private" / "1.png").with_suffix(".txt"))
    return tmp_path / "private"


@pytest.mark.parametrize("name", ["1.png", "0-masklabel.png", "masks/0.png"])
def test_pictures_that_links_reach_outside_the_folder_are_refused(
    folder: Path, outside: Path, name: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(outside / "1.png")
    text(folder / "1.txt") if name == "1.png" else None
    with pytest.raises(DataError, match=r"lies outside the data folder.* copy it into"):
        read_folder(folder, HAT)


def test_captions_that_links_reach_outside_the_folder_are_refused(folder: Path, outside: Path) -> None:
    (folder / "0.txt").unlink()
    (folder / "0.txt").symlink_to(outside / "1.txt")
    with pytest.raises(DataError, match=r"0\.txt' lies outside the data folder"):
        read_folder(folder, HAT)


def test_sub_folders_that_links_reach_outside_the_folder_are_refused(folder: Path, outside: Path) -> None:
    (folder / "2_more").symlink_to(outside)
    with pytest.raises(DataError, match=r"2_more' lies outside the data folder"):
        read_folder(folder, HAT)


@pytest.mark.parametrize("row", [{"file_name": "link.png"}, {"mask": "link.png"}, {"file_name": "sub/1.png"}])
def test_rows_of_a_table_do_not_follow_links_outside(
    folder: Path, outside: Path, row: dict[str, object]
) -> None:
    (folder / "link.png").symlink_to(outside / "1.png")
    (folder / "sub").symlink_to(outside)
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: .* lies outside the data folder"):
        read_folder(table(folder, row))


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_table_outside_the_folder_is_refused(folder: Path, outside: Path, name: str) -> None:
    (outside / name).write_text("secret")
    (folder / name).symlink_to(outside / name)
    with pytest.raises(DataError, match="lies outside the data folder") as caught:
        read_folder(folder)
    assert "secret" not in str(caught.value)


def test_links_within_the_folder_and_to_the_folder_are_followed(folder: Path) -> None:
    text(picture(folder / "originals" / "1.png").with_suffix(".txt"))
    (folder / "2_more").symlink_to(folder / "originals")
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert names(link) == ["0.png", "2_more/1.png"]
    assert warnings(link) == []


def test_links_to_nothing_in_circles_and_pipes_are_problems(folder: Path) -> None:
    (folder / "1.png").symlink_to(folder / "gone.png")
    (folder / "2.png").symlink_to(folder / "2.png")
    os.mkfifo(folder / "3.png")
    problems = check_folder(table(folder, *({"file_name": f"{number}.png"} for number in (1, 2, 3)))).problems
    assert len(problems) == 3
    assert all("does not exist" in problem for problem in problems)


def test_a_link_to_a_folder_that_is_not_followed_is_named(folder: Path, outside: Path) -> None:
    (folder / "more").symlink_to(outside)
    assert warnings(folder) == ["links to folders, not followed (1): more"]
