"""`spf sample --prompt-file`: one grid for each prompt of a file."""

from pathlib import Path

import pytest
from PIL import Image

PROMPTS = "\ufeff# people\nan old man\r\n\n  a young woman, red hair  \n#a dog\n\u8001\u4eba\nan old man\n"


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    done = spf("train", "--data", data, "--preset", "lora", "--steps", 1, "--out", out, *tiny)
    assert done.code == 0, done.err
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text(PROMPTS, encoding="utf-8", newline="")
    return tmp_path / "prompts.txt"


def test_each_prompt_of_the_file_gets_a_grid_of_its_own(spf, run: Path, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "grids"
    args = ("sample", run, "--prompt-file", file, "--target", "wearing a hat", "--seeds", 1, "--out", out)
    done = spf(*args)
    assert done.code == 0, done.err
    assert done.out.strip() == f"wrote 3 grids to {out}"
    found = sorted(out.iterdir())
    assert [path.name for path in found] == [
        "001-an-old-man.png",
        "002-a-young-woman-red-hair.png",
        "003-prompt.png",
    ]
    texts = [Image.open(path).text for path in found]
    assert [text["prompt"] for text in texts] == ["an old man", "a young woman, red hair", "\u8001\u4eba"]
    assert {text["target"] for text in texts} == {"wearing a hat"}
    assert spf(*args).fails_with(str(found[0]), "exists", "--overwrite")
    assert spf(*args, "--overwrite").code == 0


def test_one_grid_that_would_be_replaced_stops_all_before_anything_is_drawn(
    spf, run: Path, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grids"
    out.mkdir()
    (out / "003-prompt.png").write_text("mine")
    refused = spf("sample", run, "--prompt-file", file, "--seeds", 1, "--out", out)
    assert refused.fails_with("003-prompt.png", "--overwrite")
    assert [path.name for path in out.iterdir()] == ["003-prompt.png"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"", "holds no prompt"),
        (b"# nothing\n\n", "holds no prompt"),
        (b"caf\xe9\n", "is not UTF-8"),
        (b"a man\na\0b\n", "line 2"),
    ],
)
def test_a_file_without_usable_prompts_is_one_line(
    spf, run: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file, out = tmp_path / "prompts.txt", tmp_path / "out"
    if content is not None:
        file.write_bytes(content)
    assert spf("sample", run, "--prompt-file", file, "--out", out).fails_with(str(file), words)
    assert not out.exists()


def test_a_prompt_and_a_file_of_prompts_exclude_each_other(
    spf, run: Path, file: Path, tmp_path: Path
) -> None:
    asked = ("sample", run, "--out", tmp_path / "out")
    assert spf(*asked).fails_with("--prompt TEXT", "--prompt-file FILE")
    both = ("--prompt", "a man", "--prompt-file", file)
    assert spf(*asked, *both).fails_with("--prompt TEXT", "--prompt-file FILE")
    one = ("sample", run, "--prompt-file", file, "--out", tmp_path / "grid.png")
    assert spf(*one).fails_with("grid.png", "folder")
    assert spf("sample", run, "--prompt-file", tmp_path, "--out", tmp_path / "out").fails_with(str(tmp_path))


def test_two_runs_as_arguments_are_answered_with_the_options_that_combine_them(spf) -> None:
    told = spf("sample", "runs/a b", "runs/c")
    assert told.fails_with("2 runs are given", "--run 'runs/a b' --run runs/c", "spf compare")


@pytest.mark.parametrize("command", ["sample", "evaluate", "attention"])
def test_a_folder_of_training_data_is_answered_with_the_command_that_trains(
    spf, data: Path, command: str, tmp_path: Path
) -> None:
    more = {"sample": (), "evaluate": ("--out", tmp_path / "out")}
    asked = more.get(command, ("--prompt", "a man", "--token", "man", "--out", tmp_path / "a.png"))
    told = spf(command, data, *asked)
    assert told.fails_with(f"'{data}' is not a run folder, but training data", f"`spf train --data {data}`")


def test_training_data_among_several_runs_is_named(spf, data: Path, tmp_path: Path) -> None:
    both = ("--run", tmp_path, "--run", data, "--prompt", "a man", "--out", tmp_path / "a.png")
    assert spf("sample", *both).fails_with(f"`spf train --data {data}`")
