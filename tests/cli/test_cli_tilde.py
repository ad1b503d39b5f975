"""`~` works wherever a path does, also where no shell expands it."""

import shutil
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def home(tmp_path: Path, data: Path, plugin_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    (folder / "photos").symlink_to(data)
    shutil.copy(plugin_file, folder)
    return folder


def test_everything_of_a_training_may_lie_in_the_home_folder(
    spf, home: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    (home / "model").symlink_to(tiny_folder)
    settings = {"data": "~/photos", "backbone": {"name": "mini", "path": "~/model"}, "train": {"steps": 1}}
    (home / "run.yaml").write_text(yaml.safe_dump({**settings, "sample": {"every": 0}}))
    options = ("--config=~/run.yaml", "--plugin=~/pull.py", "--preset", "lora", "--set", "train.device=cpu")
    done = spf("train", *options, "--out=~/runs/mine")
    assert done.code == 0, done.err
    saved = yaml.safe_load((home / "runs" / "mine" / "config.yaml").read_text())
    assert (saved["data"], saved["backbone"]["path"]) == ("~/photos", "~/model")
    drawn = spf(
        "sample", "~/runs/mine", "--plugin=~/pull.py", "--prompt", "a man", "--steps", 1, "--out=~/a.png"
    )
    assert drawn.code == 0, drawn.err
    assert (home / "a.png").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("data", "check", "~/photos"),
        ("config", "show", "--set", "data=~/photos"),
        ("plugins", "list", "--plugin=~/pull.py"),
        ("config", "schema", "--plugin=~/pull.py"),
        ("data", "portraits", "--target", "sunglasses", "--count", "1", "--out=~/portraits"),
    ],
    ids=" ".join,
)
def test_other_commands(spf, home: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = spf(*command)
    assert done.code == 0, done.err
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("data", "check", "~nobody-here/photos"),
        ("config", "show", "--set", "data=~nobody-here/photos"),
        ("config", "show", "--config=~nobody-here/run.yaml"),
        ("report", "~nobody-here/run"),
        ("plugins", "list", "--plugin=~nobody-here/pull.py"),
    ],
    ids=" ".join,
)
def test_nobodys_home_is_one_line(spf, home: Path, command: tuple[str, ...]) -> None:
    assert spf(*command).fails_with("~nobody-here", "names no home folder")
