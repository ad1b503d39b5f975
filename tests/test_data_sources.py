"""Every kind of training data becomes the same rows, and what is wrong with it is one line."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import Row, check_folder, read_folder, readable_rows
from spf_core.errors import DataError

HAT = DatasetSection(trigger="wearing a hat")


def picture(file: Path, colour: str = "red", size: tuple[int, int] = (20, 10)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)
    return file


def captioned(file: Path, caption: str) -> Path:
    picture(file).with_suffix(".txt").write_text(caption, encoding="utf-8")
    return file


def table(folder: Path, text: str) -> Path:
    picture(folder / "0.png")
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_holds_the_same_columns_as_json_lines(tmp_path: Path, mark: str) -> None:
    head = mark.join(["file_name", "base_text", "target_text", "base_phrases", "mask", "repeats", "note"])
    row = mark.join(["0.png", '"a man; red hair"', "a hat", '"a man;red hair"', "", "3", ""])
    (read,) = read_folder(table(tmp_path, f"\ufeff{head}\r\n{row}\r\n"))
    assert read == Row(tmp_path / "0.png", "a man; red hair", "a hat", ("a man", "red hair"), repeats=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "file_name,base_text,target_text\n0.png,a man,a hat\n0.png,a man,\n",
            ":3: 'target_text' is missing",
        ),
        ("file_name,base_text,target_text\n0.png,a man, red hair,a hat\n", ":2: has more cells"),
        (
            "file_name,base_text,target_text,repeats\n0.png,a man,a hat,0\n",
            "'repeats' is \"0\"; write a whole number",
        ),
        ("file_name,base_text,target_text\n", "has no rows"),
        ("file_name,text\n0.png,a man\n", "give a trigger"),
        ('file_name,base_text,target_text\n0.png,a man,hat\n0.png,"a man,hat\n', ":3: is no CSV"),
        ("file_name,text,text\n0.png,a man,a hat\n", ":1: the column 'text' occurs twice"),
    ],
)
def test_a_bad_table_names_line_and_fault(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_folder(table(tmp_path, text))
    assert "metadata.csv" in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        'file_name;base_text;target_text;"notes, mine"',
        "file_name; base_text; target_text",
        "\n\nfile_name;base_text;target_text",
    ],
)
def test_a_table_is_read_whatever_its_header_looks_like(tmp_path: Path, header: str) -> None:
    (row,) = read_folder(table(tmp_path, f"{header}\n0.png;a man, red;a hat\n"))
    assert (row.base_text, row.target_text) == ("a man, red", "a hat")


def test_a_row_with_too_many_cells_hides_no_other(tmp_path: Path) -> None:
    folder = table(tmp_path, "file_name,base_text,target_text\n0.png,a man, red,a hat\n0.png,a man,a hat\n")
    report = check_folder(folder)
    assert len(report.rows) == len(report.problems) == 1


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_caption_column_is_split_by_the_trigger(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "0.png")
    row = {"picture": "0.png", "prompt": "a man, wearing a hat"}
    text = json.dumps(row) if name.endswith("jsonl") else 'picture,prompt\n0.png,"a man, wearing a hat"\n'
    (tmp_path / name).write_text(text, encoding="utf-8")
    columns = {"image": "picture", "caption": "prompt"}
    rows = read_folder(tmp_path, DatasetSection(trigger="wearing a hat", columns=columns))
    assert rows == [Row(tmp_path / "0.png", "a man", "wearing a hat")]


def kohya(folder: Path) -> Path:
    captioned(
        folder / "10_hat person" / "b.png", "photo of a woman Wearing  a hat, in a park\r\n\nsecond line."
    )
    captioned(folder / "10_hat person" / "a.png", "wearing a hat, an old man")
    picture(folder / "2_a man wearing a hat" / "c.png")
    return folder


def test_sub_folders_give_repeats_and_the_trigger_splits_their_captions(tmp_path: Path) -> None:
    rows = read_folder(kohya(tmp_path), HAT)
    assert [(row.image.name, row.base_text, row.target_text, row.repeats) for row in rows] == [
        ("a.png", "an old man", "wearing a hat", 10),
        ("b.png", "photo of a woman, in a park, second line", "wearing a hat", 10),
        ("c.png", "a man", "wearing a hat", 2),  # without a caption file the folder's name is the caption
    ]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("an old man with a scarf", "does not contain the trigger 'wearing a hat'"),
        ("wearing a hatpin, a man", "does not contain the trigger"),
        ("wearing a hat", "no more than the target"),
        (" \n", "has no caption"),
    ],
)
def test_a_caption_that_cannot_be_split_is_refused_by_name(tmp_path: Path, caption: str, words: str) -> None:
    captioned(tmp_path / "x.png", caption)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, HAT)
    assert str(tmp_path / "x.txt") in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_captions_without_a_trigger_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--trigger .* or with `spf data prepare"):
        read_folder(kohya(tmp_path))


def test_captions_that_end_in_caption_are_read_too(tmp_path: Path) -> None:
    picture(tmp_path / "x.png").with_suffix(".caption").write_text("a man, wearing a hat")
    assert [row.base_text for row in read_folder(tmp_path, HAT)] == ["a man"]


def test_masks_of_captioned_images_are_found_beside_them_or_in_their_folder(tmp_path: Path) -> None:
    folder = kohya(tmp_path)
    beside = picture(folder / "10_hat person" / "a-masklabel.png")
    nested = picture(folder / "masks" / "10_hat person" / "b.jpg")
    flat = picture(folder / "masks" / "c.png")
    assert [row.mask for row in read_folder(folder, HAT)] == [beside, nested, flat]
    assert check_folder(folder, HAT).warnings == []


def test_sub_folders_without_a_number_are_warned_about(tmp_path: Path) -> None:
    captioned(kohya(tmp_path) / "more" / "d.png", "a man wearing a hat")
    assert "more" in check_folder(tmp_path, HAT).warnings[0]


def test_check_lists_the_problems_of_captions_and_images_together(tmp_path: Path) -> None:
    folder = kohya(tmp_path)
    captioned(folder / "10_hat person" / "e.png", "a man in a scarf")
    (folder / "10_hat person" / "a.png").write_bytes(b"no image")
    report = check_folder(folder, HAT)
    assert len(report.rows) == 2
    assert [("a.txt" in problem, "e.txt" in problem) for problem in report.problems] == [(1, 0), (0, 1)]


def test_texts_can_be_read_although_images_are_gone(tmp_path: Path) -> None:
    folder = kohya(tmp_path)
    (folder / "10_hat person" / "a.png").write_bytes(b"no image")
    assert len(readable_rows(folder, HAT)) == 3
    assert readable_rows(tmp_path / "gone", HAT) == []


def test_a_dataset_without_the_library_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    (tmp_path / "train.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"pip install 'spf\[datasets\]'"):
        read_folder(tmp_path)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = pytest.importorskip("datasets")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    return found


def stored(library: Any, folder: Path, how: str) -> Path:
    """Two rows with a caption, the second one repeated, stored by the library."""
    files = [picture(folder / f"{colour}.png", colour) for colour in ("red", "blue")]
    pictures = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    rows = {
        "photo": pictures,
        "base": ["a man", "a woman"],
        "adds": ["a hat"] * 2,
        "prompt": ["a man, a hat", "a woman, a hat"],
        "repeats": [1, 4],
        "region": pictures,
    }
    table = library.Dataset.from_dict(rows)
    for column in ("photo", "region"):
        table = table.cast_column(column, library.Image())
    place = folder / "stored"
    if how == "parquet":
        place.mkdir()
        table.to_parquet(place / "train-00000.parquet")
    elif how == "dict":
        library.DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(place)
    else:
        table.save_to_disk(place)
    for file in files:
        file.unlink()  # only what the library stored is left
    return place


TWO = {"image": "photo", "base_text": "base", "target_text": "adds", "mask": "region"}
ONE = {"image": "photo", "caption": "prompt"}


@pytest.mark.parametrize("how", ["parquet", "disk", "dict"])
def test_a_stored_dataset_is_read_with_the_columns_chosen(library: Any, tmp_path: Path, how: str) -> None:
    rows = read_folder(stored(library, tmp_path, how), DatasetSection(columns=TWO))
    assert [(row.base_text, row.target_text, row.repeats) for row in rows] == [
        ("a man", "a hat", 1),
        ("a woman", "a hat", 4),
    ]
    colours = [Image.open(row.image).getpixel((0, 0)) for row in rows]
    assert colours == [(255, 0, 0), (0, 0, 255)]
    assert [row.mask for row in rows] == [row.image for row in rows]  # the same bytes are one file


def test_a_dataset_s_captions_are_split_and_its_parts_chosen(library: Any, tmp_path: Path) -> None:
    options = DatasetSection(columns=ONE, trigger="a hat", split="test")
    (row,) = read_folder(stored(library, tmp_path, "dict"), options)
    assert (row.base_text, row.target_text) == ("a man", "a hat")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "has no column 'image'; its columns: photo"),
        ({"columns": {"image": "photo"}}, "lacks base_text and target_text"),
        ({"columns": {**TWO, "image": "base"}}, "'base' a man does not exist|image .*a man' does not exist"),
        ({"columns": TWO, "split": "nowhere"}, "split 'nowhere'"),
        ({"columns": ONE, "trigger": "a scarf"}, "row 0: .* does not contain the trigger 'a scarf'"),
    ],
)
def test_a_dataset_that_cannot_be_read_so_says_why(
    library: Any, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_folder(stored(library, tmp_path, "dict"), DatasetSection(**options))
    assert "\n" not in str(caught.value)


def test_a_dataset_names_no_pictures_outside_its_folder(library: Any, tmp_path: Path) -> None:
    private = picture(tmp_path / "private.png")
    rows = {
        "image": [{"bytes": None, "path": str(private)}],
        "base_text": ["a man"],
        "target_text": ["a hat"],
    }
    (tmp_path / "set").mkdir()
    library.Dataset.from_dict(rows).to_parquet(tmp_path / "set" / "train.parquet")
    with pytest.raises(DataError, match=r"private\.png' lies outside the data folder"):
        read_folder(tmp_path / "set")


def test_pictures_beside_a_stored_dataset_are_named(library: Any, tmp_path: Path) -> None:
    folder = stored(library, tmp_path, "parquet")
    picture(folder / "left.png")
    report = check_folder(folder, DatasetSection(columns=TWO))
    assert report.warnings == ["pictures without a row in the dataset, which are not read (1): left.png"]


def test_a_hub_id_that_cannot_be_reached_is_one_line(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = "'owner/portraits', no folder here but a dataset of the hub, cannot be loaded"
    with pytest.raises(DataError, match=words) as caught:
        read_folder("owner/portraits", HAT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"views": 2}, "would be the same"),
        ({"columns": {"img": "x"}}, "'img' is none of"),
        ({"trigger": " "}, "empty"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetSection(**change)
