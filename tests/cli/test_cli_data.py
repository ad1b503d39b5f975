"""`spf data`: checking folders, and writing them with a suite."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from installing import installed
from PIL import Image

from spf_core.data import check_folder
from spf_core.plugins import BackboneConfig
from spf_plugins.backbones.stable_diffusion import StableDiffusion

BIASED = ("--bias", "background=teal,clothes=blazer,expression=laughing")


@pytest.fixture
def tiny_backbone(tiny_folder: Path) -> Iterator[None]:
    """The random model as the backbone `tiny`, without options."""

    class Tiny(BackboneConfig):
        """A random model."""

        name = "tiny"

        def build(self) -> StableDiffusion:
            return StableDiffusion(tiny_folder)

    with installed(Tiny):
        yield


def test_check_shows_counts_sizes_and_texts(spf, data: Path) -> None:
    shown = spf("data", "check", data)
    assert shown.code == 0
    assert shown.err == ""
    for words in (
        "usable rows   4",
        "40x32 (4)",
        "base texts    4 different",
        "the first  ",
        "4 x",
        "wearing a hat",
    ):
        assert words in shown.out


def test_check_lists_every_problem_on_its_own_line_and_ends_with_two(spf, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(data, folder)
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    with (folder / "metadata.jsonl").open("a") as metadata:
        metadata.write(
            "\nnonsense\n" + json.dumps({"file_name": "0.png", "base_text": "a", "target_text": " "})
        )
    checked = spf("data", "check", folder)
    assert checked.code == 2
    lines = checked.err.splitlines()
    assert [line.split(": ")[1].rpartition(":")[2] for line in lines] == ["2", "5", "6"]
    assert all(line.startswith("problem: ") for line in lines)
    assert "usable rows   3" in checked.out


@pytest.mark.parametrize("present", [True, False], ids=["empty", "missing"])
def test_check_of_an_empty_or_missing_folder_is_one_line(spf, tmp_path: Path, present: bool) -> None:
    folder = tmp_path / "set"
    if present:
        folder.mkdir()
    checked = spf("data", "check", folder)
    assert checked.code == 2
    assert checked.err.count("\n") == 1
    assert str(folder) in checked.err


@pytest.mark.usefixtures("tiny_backbone")
def test_texts_too_long_for_the_backbone_are_counted_and_warned(spf, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(data, folder)
    row = {"file_name": "0.png", "base_text": "an old man " * 40, "target_text": "wearing a hat"}
    with (folder / "metadata.jsonl").open("a") as metadata:
        metadata.write("\n" + json.dumps(row))
    checked = spf("data", "check", folder, "--backbone", "tiny")
    assert checked.code == 0
    assert "warning: 1 of 5 texts are too long: 'tiny' reads 77 tokens" in checked.err


@pytest.mark.parametrize("chosen", [("--backbone", "sd15"), ()], ids=["named", "by its folder"])
def test_the_backbone_of_the_check_may_be_a_folder(
    spf, data: Path, tiny_folder: Path, tmp_path: Path, chosen: tuple[str, ...]
) -> None:
    folder = shutil.copytree(data, tmp_path / "set")
    row = {"file_name": "0.png", "base_text": "an old man " * 40, "target_text": "wearing a hat"}
    (folder / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    model = ("--set", f"backbone.path={tiny_folder}", "--set", "dataset.trigger=wearing a hat")
    checked = spf("data", "check", folder, *chosen, *model)
    assert checked.code == 0, checked.err
    assert "1 of 1 texts are too long" in checked.err


def test_texts_of_the_check_break_between_words(spf, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    shown = spf("data", "check", data).out.split()
    for word in ("usable", "different", "target", "texts", "wearing", "hat"):
        assert word in shown


def test_check_refuses_settings_that_it_does_not_read(spf, data: Path) -> None:
    refused = spf("data", "check", data, "--set", "train.steps=1")
    assert refused.fails_with("train.steps=1", "only settings of dataset and backbone")
    wrong = spf("data", "check", data, "--backbone", "sdxl", "--set", "backbone.paht=x")
    assert wrong.fails_with("backbone", "paht", "Did you mean 'path'?")


def test_check_refuses_an_unknown_backbone(spf, data: Path) -> None:
    assert spf("data", "check", data, "--backbone", "minni").fails_with("'minni'", "Did you mean 'mini'?")


def test_a_suite_writes_the_same_biased_folder_for_the_same_seed(spf, tmp_path: Path) -> None:
    for name in ("one", "two"):
        args = ("--target", "sunglasses", "--count", 3, "--seed", 5, "--out", tmp_path / name)
        assert spf("data", "portraits", *args, *BIASED).code == 0
    files = [file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file()]
    assert all(
        (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files
    )
    report = check_folder(tmp_path / "one")
    assert (len(report.rows), report.problems, report.warnings) == (3, [], [])
    assert all("teal" not in row.base_text for row in report.rows)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--target", "sunglases"), ("'sunglases'", "Did you mean 'sunglasses'?")),
        (("--target", "hat", "--bias", "background=plaid"), ("plaid", "teal")),
        (("--target", "hat", "--bias", "backgruond=teal"), ("backgruond",)),
        (("--target", "hat", "--bias", "teal"), ("--bias teal", "ATTR=VALUE")),
        (("--target", "hat", "--count", "0"), ("--count",)),
        (("--target", "hat", "--seed", "-1"), ("--seed",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_suite_refuses_impossible_wishes_and_writes_nothing(
    spf, tmp_path: Path, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert spf("data", "portraits", *args, "--out", tmp_path / "set").fails_with(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_suite_leaves_a_filled_folder_alone(spf, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    args = ("--target", "hat", "--count", 1, "--out", tmp_path)
    assert spf("data", "portraits", *args).fails_with(str(tmp_path), "not empty")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_check_prints_one_json_object_and_nothing_else(spf, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "3_more").mkdir(parents=True)
    for name in ("0.png", "0-masklabel.PNG", "3_more/1.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    for name in ("0.txt", "3_more/1.TXT", "lost.txt"):
        (folder / name).write_text("a man, wearing a hat")
    checked = spf("data", "check", folder, "--trigger", "wearing a hat", "--json")
    assert (checked.code, checked.err) == (0, "")
    texts = {"base_text": "a man", "target_text": "wearing a hat"}
    assert json.loads(checked.out) == {
        "rows": [
            {"file": "0.png", **texts, "repeats": 1, "mask": "0-masklabel.PNG"},
            {"file": "3_more/1.png", **texts, "repeats": 3, "mask": None},
        ],
        "problems": [],
        "warnings": ["captions without a picture (1): lost.txt"],
    }


def test_problems_are_in_the_json_too_and_the_exit_code_is_two(spf, tmp_path: Path) -> None:
    checked = spf("data", "check", tmp_path / "gone", "--json")
    assert (checked.code, checked.err) == (2, "")
    problem = f"data folder '{tmp_path / 'gone'}' does not exist; give a folder of images"
    assert json.loads(checked.out) == {"rows": [], "problems": [problem], "warnings": []}


def test_a_folder_that_is_not_there_is_told_with_the_place_it_was_looked_for(spf) -> None:
    assert (
        f"'gone' does not exist; a relative path starts in '{Path.cwd()}'" in spf("data", "check", "gone").err
    )


@pytest.mark.usefixtures("tiny_backbone")
def test_pictures_far_smaller_than_the_backbone_draws_are_warned_about(
    spf, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(data, folder)
    Image.new("RGB", (40, 9)).save(folder / "2.png")
    checked = spf("data", "check", folder, "--backbone", "tiny")
    assert checked.code == 0
    assert "warning: images far smaller than the 32 pixels of 'tiny'" in checked.err
    assert "(1): 2.png" in checked.err
