"""`spf demo`: one command from nothing to a report, continued where it stopped."""

import json
from pathlib import Path

import pytest
from pages import Page, results
from PIL import Image

SHORT = ("--steps", 1, "--prompts", 2, "--target", "hat")


@pytest.fixture(scope="module")
def demo(spf, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE", str(folder / "cache"))
        done = spf("demo", "--out", folder / "demo", *SHORT, *tiny)
    assert done.code == 0, done.err
    assert all(words in done.out for words in ("sps", "naive", "spf", "report.html"))
    return folder / "demo"


def test_the_report_shows_the_pictures_and_the_numbers(demo: Path) -> None:
    page = Page(demo / "report.html")
    page.stands_alone()
    assert "embedded portraits" in page.text
    assert "background teal, clothes blazer, expression laughing" in page.text
    for preset in ("naive", "spf"):
        found = results(demo / "evaluation" / preset)
        assert f"{found['sps']['value']:.1f} [" in page.text
        assert any((each["alt"] or "").startswith(f"{preset}, complete text") for each in page.all("img"))
    assert "No attention maps: 'hat' lies beyond the 77 tokens" in page.text, (
        "the tiny tokenizer cuts long texts"
    )


def test_both_presets_are_trained_on_the_same_biased_rows_and_evaluated(demo: Path) -> None:
    for preset in ("naive", "spf"):
        config = (demo / "runs" / preset / "config.yaml").read_text()
        assert f"preset: {preset}\ndata: {demo / 'data'}" in config
        results = json.loads((demo / "evaluation" / preset / "results.json").read_text())
        assert (results["n_prompts"], results["target"]) == (2, "hat")


def test_the_pairs_tell_their_texts_and_seeds(demo: Path) -> None:
    with Image.open(demo / "pairs.png") as picture:
        assert len(picture.text["prompt"].splitlines()) == len(picture.text["seeds"].split())
        assert "hat" in picture.text["target"]


def test_a_second_call_keeps_what_is_complete(spf, demo: Path, tiny: list[str]) -> None:
    def times() -> dict[Path, int]:
        files = (file for file in demo.rglob("*") if file.is_file() and file.name != "report.html")
        return {file: file.stat().st_mtime_ns for file in files}

    before = times()
    assert spf("demo", "--out", demo, *SHORT, *tiny).code == 0
    assert times() == before


def test_other_options_need_another_folder(spf, demo: Path) -> None:
    assert spf("demo", "--out", demo, "--target", "beard").fails_with(str(demo), "choose another --out")


def test_an_unknown_target_writes_nothing(spf, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert spf("demo", "--out", out, "--target", "sunglases").fails_with("Did you mean 'sunglasses'?")
    assert not out.exists()


def test_a_folder_of_something_else_is_left_alone(spf, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert spf("demo", "--out", tmp_path).fails_with(str(tmp_path), "not empty")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
