"""`spf data prepare`: what is shown, what is asked, and what is written."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from installing import PLUGIN_FILES
from PIL import Image

from spf_core.data import read_folder

CAPTIONS = {
    "a.png": "photo of a woman wearing a hat, in a park",
    "b.png": "an old man, Wearing a hat",
    "c.png": "a child, in a red bonnet",
}
HAT = ("--trigger", "wearing a hat")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos" / "5_hat"
    place.mkdir(parents=True)
    for name, caption in CAPTIONS.items():
        Image.new("RGB", (32, 32)).save(place / name)
        (place / name).with_suffix(".txt").write_text(caption, encoding="utf-8")
    return tmp_path / "photos"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answer(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return answer


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_trigger_splits_what_it_can_and_names_the_rest(spf, folder: Path) -> None:
    before = files(folder)
    shown = spf("data", "prepare", folder, *HAT, "--yes")
    assert shown.code == 0
    line = next(line for line in shown.out.splitlines() if "5_hat/a.png" in line)
    assert [part.strip() for part in line.split("  ") if part.strip()] == [
        "5_hat/a.png",
        CAPTIONS["a.png"],
        "photo of a woman, in a park",
        "wearing a hat",
    ]
    assert "2 x wearing a hat" in shown.out
    assert shown.err.startswith(
        "left out: 5_hat/c.png: the caption 'a child, in a red bonnet' does not contain"
    )
    row = {"base_text": "an old man", "target_text": "wearing a hat", "repeats": 5}
    assert written(folder)[1] == {"file_name": "5_hat/b.png", **row}
    assert [row.repeats for row in read_folder(folder)] == [5, 5]
    (folder / "metadata.jsonl").unlink()
    assert files(folder) == before


@pytest.mark.parametrize(("answer", "code"), [("n", 0), ("", 0), (None, 2)])
def test_nothing_is_written_without_consent(
    spf, folder: Path, answering, answer: str | None, code: int
) -> None:
    before = files(folder)
    answering(*([] if answer is None else [answer]))
    shown = spf("data", "prepare", folder, *HAT)
    assert shown.code == code
    assert "nothing is written" in shown.out + shown.err
    assert "5_hat/b.png" in shown.out
    assert files(folder) == before


def test_a_yes_writes(spf, folder: Path, answering) -> None:
    answering("y")
    assert "wrote 2 rows" in spf("data", "prepare", folder, *HAT).out
    assert len(written(folder)) == 2


def test_a_phrase_cuts_noun_phrases_and_one_target_text_may_stand_for_all(spf, folder: Path) -> None:
    args = ("--phrase", r"\bhat$|bonnet", "--target", "with something on the head", "--yes")
    assert spf("data", "prepare", folder, *args).code == 0
    assert [(row["base_text"], row["target_text"]) for row in written(folder)] == [
        ("photo of a woman, in a park", "with something on the head"),
        ("an old man", "with something on the head"),
        ("a child", "with something on the head"),
    ]


def test_rows_that_lose_their_subject_come_first_and_are_named(spf, folder: Path) -> None:
    for name in (f"{number:02}" for number in range(20)):
        Image.new("RGB", (8, 8)).save(folder / "5_hat" / f"A{name}.png")
        (folder / "5_hat" / f"A{name}.txt").write_text("a man in a hat")
    (folder / "5_hat" / "c.txt").write_text("a photo of a hat, beach")
    shown = spf("data", "prepare", folder, "--phrase", r"\bhat", "--yes")
    assert next(line for line in shown.out.splitlines() if line.startswith("5_hat")).startswith("5_hat/c.png")
    assert "... and 3 more" in shown.out
    assert shown.err == "warning: 5_hat/c.png: the base text 'a photo, beach' has lost its subject\n"
    assert len(written(folder)) == 23


@pytest.mark.parametrize(
    ("columns", "seen"), [(80, "a photo of sks woman, "), (120, "a photo of sks woman, standing in a park")]
)
def test_before_and_after_fit_side_by_side(
    spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, seen: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a photo of sks woman wearing a hat, standing in a park")
    shown = spf("data", "prepare", tmp_path, "--phrase", "hat", "--yes").out.splitlines()
    assert max(map(len, shown[:5])) <= columns
    assert "a photo of sks woman " in shown[2]
    assert seen.rstrip() in shown[2]


@pytest.mark.parametrize("pattern", ["(a|a)*$", "(a|aa)+$"])
def test_an_expression_that_runs_away_is_stopped(spf, folder: Path, pattern: str) -> None:
    (folder / "5_hat" / "b.txt").write_text("a" * 60 + "b")
    failed = spf("data", "prepare", folder, "--phrase", pattern, "--yes")
    assert failed.fails_with(f"--phrase {pattern}", "5_hat/b.png", "takes too long", "write it without")
    assert not (folder / "metadata.jsonl").exists()


def test_an_expression_that_takes_all_memory_is_stopped(
    spf, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("spf_core.data.prepare.split_by_phrase", split)
    assert spf("data", "prepare", folder, "--phrase", "(?R)", "--yes").fails_with("--phrase (?R)", "too long")


def test_an_expression_that_grows_beyond_memory_is_refused(spf, folder: Path) -> None:
    failed = spf("data", "prepare", folder, "--phrase", "((h{1000}){1000}){1000}", "--yes")
    assert failed.fails_with("--phrase ((h{1000}){1000}){1000}", "repeats more than 100000 times")


def test_half_characters_in_a_kept_column_stay_as_they_are(spf, folder: Path) -> None:
    row = {"file_name": "5_hat/a.png", "text": "a man, a hat", "source": "\ud83d"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    assert spf("data", "prepare", folder, "--trigger", "a hat", "--yes").code == 0
    assert written(folder)[0]["source"] == "\ud83d"


def test_several_triggers_are_tried_in_turn(spf, folder: Path) -> None:
    assert spf("data", "prepare", folder, *HAT, "--trigger", "in a red bonnet", "--yes").err == ""
    assert written(folder)[2]["target_text"] == "in a red bonnet"


def test_each_caption_is_asked_for_until_the_answer_fits(spf, folder: Path, answering) -> None:
    answering("wearing a hat", "7", "1 2", "2", "", "y")
    shown = spf("data", "prepare", folder, "--interactive")
    assert shown.code == 0
    assert "the numbers are 1 to 2" in shown.out
    assert "the base text needs one" in shown.out
    assert "left out: 5_hat/c.png: left out by choice" in shown.err
    assert [row["target_text"] for row in written(folder)] == ["wearing a hat", "Wearing a hat"]


def test_a_caption_cannot_command_the_terminal(spf, folder: Path, answering) -> None:
    caption = "a woman, wearing a \x1b[31mred\u202e hat, in a park"
    (folder / "5_hat" / "a.txt").write_text(caption, encoding="utf-8")
    answering("2", "", "")
    shown = spf("data", "prepare", folder, "--interactive", "--yes")
    assert shown.code == 0, shown.err
    assert not {"\x1b", "\u202e"} & set(shown.out + shown.err)
    assert r"1 x wearing a \x1b[31mred\u202e hat" in shown.out
    assert written(folder)[0]["target_text"] == "wearing a \x1b[31mred\u202e hat"


def test_only_what_a_rule_leaves_is_asked_for(spf, folder: Path, answering) -> None:
    answering("2", "y")
    shown = spf("data", "prepare", folder, *HAT, "--interactive")
    assert "5_hat/c.png: a child" in shown.out
    assert "5_hat/a.png: photo" not in shown.out
    assert written(folder)[2] == {
        "file_name": "5_hat/c.png",
        "base_text": "a child",
        "target_text": "in a red bonnet",
        "repeats": 5,
    }


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_caption_column_is_prepared_and_the_other_columns_are_kept(spf, folder: Path, name: str) -> None:
    row = {"picture": "5_hat/a.png", "text": "a man, a hat", "source": "mine"}
    head, cells = ",".join(row), ",".join(f'"{value}"' for value in row.values())
    (folder / name).write_text(json.dumps(row) if name.endswith("l") else f"{head}\n{cells}\n")
    args = ("--trigger", "a hat", "--set", "dataset.columns.image=picture", "--yes")
    assert spf("data", "prepare", folder, *args).code == 0
    texts = {"base_text": "a man", "target_text": "a hat"}
    assert written(folder) == [{"file_name": "5_hat/a.png", **texts, "source": "mine"}]
    again = spf("data", "prepare", folder, "--trigger", "a hat", "--yes")
    assert again.code == 2
    assert "already" in again.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), ("--trigger", "--phrase", "--interactive")),
        ((*HAT, "--phrase", "hat"), ("both given",)),
        (("--phrase", "(hat"), ("--phrase (hat", "no regular expression")),
        ((*HAT, "--set", "train.steps=3"), ("only settings of dataset",)),
    ],
)
def test_what_cannot_be_done_is_one_line(
    spf, folder: Path, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert spf("data", "prepare", folder, *args, "--yes").fails_with(*words)
    assert not (folder / "metadata.jsonl").exists()


def test_a_reader_in_a_plugin_file_finds_the_captions(spf, folder: Path) -> None:
    Image.new("RGB", (32, 32)).save(folder / "0.png")
    (folder / "0.shout").write_text("A YOUNG MAN, WEARING A HAT", encoding="utf-8")
    shouted = ("--plugin", PLUGIN_FILES / "shouted.py")
    assert spf("data", "prepare", folder, *HAT, "--yes", *shouted).code == 0
    assert [row["base_text"] for row in written(folder)] == ["a young man"]


def test_a_reader_without_captions_is_refused(spf, folder: Path) -> None:
    wrong = spf("data", "prepare", folder, *HAT, "--yes", "--set", "reader=hf-dataset")
    assert wrong.fails_with("reads no captions", "leave out `reader`")
    assert not (folder / "metadata.jsonl").exists()


def test_a_folder_without_captions_or_without_a_match_writes_nothing(
    spf, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert spf("data", "prepare", tmp_path / "empty", *HAT).fails_with("has no captions")
    assert spf("data", "prepare", tmp_path / "gone", *HAT).fails_with("does not exist")
    failed = spf("data", "prepare", folder, "--trigger", "a crown", "--yes")
    assert failed.code == 2
    assert "nothing is written" in failed.err
    assert not (folder / "metadata.jsonl").exists()


def test_check_and_train_split_by_the_trigger_too(spf, folder: Path, tiny: list[str], tmp_path: Path) -> None:
    assert spf("data", "check", folder).code == 2
    (folder / "5_hat" / "c.txt").unlink()
    (folder / "5_hat" / "c.png").unlink()
    checked = spf("data", "check", folder, *HAT)
    assert checked.code == 0
    assert "with repeats  10" in checked.out
    trained = spf(
        *("train", "--data", folder, *HAT, "--preset", "lora", "--steps", 1, *tiny, "--out", tmp_path / "run")
    )
    assert trained.code == 0, trained.err
    assert "trigger: wearing a hat" in (tmp_path / "run" / "config.yaml").read_text()
    assert spf("train", "--resume", "--out", tmp_path / "run").code == 0


def test_a_dry_run_counts_repeats_views_and_buckets(
    spf, folder: Path, tiny: list[str], tmp_path: Path
) -> None:
    for name in CAPTIONS:
        (folder / "5_hat" / name).with_suffix(".txt").write_text("a man wearing a hat")
    Image.new("RGB", (64, 36)).save(folder / "5_hat" / "a.png")
    sets = ("dataset.buckets=true", "dataset.flip=true", "dataset.views=2")
    options = [part for each in sets for part in ("--set", each)]
    args = ("--preset", "lora", "--steps", 30, *tiny, *options, "--dry-run", "--out", tmp_path / "run")
    shown = spf("train", "--data", folder, *HAT, *args)
    assert shown.code == 0, shown.err
    for words in ("6, 2 of each image; an epoch reads 30", "32x32 (4), 40x24 (2)", "epochs                2"):
        assert " ".join(words.split()) in " ".join(shown.out.split())
