"""`spf attention`: maps of a word in one picture, and clear refusals."""

from pathlib import Path

import pytest
from PIL import Image

PROMPT = ("--prompt", "a young woman with red hair", "--target", "wearing a hat")


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    trained = spf("train", "--data", data, "--preset", "spf-paper", "--steps", 1, "--out", out, *tiny)
    assert trained.code == 0, trained.err
    return out


def test_the_maps_are_written_as_one_picture(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    done = spf("attention", run, *PROMPT, "--token", "hat", "--steps", 3, "--out", out)
    assert done.code == 0, done.err
    assert str(out) in done.out
    with Image.open(out) as three, _drawn(spf, run, tmp_path, "--steps", 3, "--columns", 1) as one:
        assert three.height == one.height, "the same rows"
        assert three.width > one.width, "more timesteps"


def _drawn(spf, run: Path, tmp_path: Path, *options: object) -> Image.Image:
    out = tmp_path / "other.png"
    assert spf("attention", run, *PROMPT, "--token", "hat", "--out", out, *options).code == 0
    return Image.open(out)


def test_a_token_that_the_prompt_lacks_is_answered_with_its_words(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    refused = spf("attention", run, *PROMPT, "--token", "beard", "--out", out)
    assert refused.fails_with("--token 'beard'", "a, young, woman, with, red, hair, wearing, hat")
    assert not out.exists()


def test_a_picture_is_replaced_only_when_asked(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps.png"
    out.write_text("mine")
    assert spf("attention", run, *PROMPT, "--token", "hat", "--out", out).fails_with("--overwrite")
    assert out.read_text() == "mine"


def test_a_folder_that_is_no_run_is_named(spf, tmp_path: Path) -> None:
    refused = spf("attention", tmp_path, *PROMPT, "--token", "hat", "--out", tmp_path / "maps.png")
    assert refused.fails_with(str(tmp_path), "config.yaml")
