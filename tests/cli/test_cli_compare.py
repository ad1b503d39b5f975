"""`spf compare`: runs side by side with their base model, from the same seeds."""

import re
import shutil
from pathlib import Path

import pytest
from pages import Page
from PIL import Image
from safetensors.torch import load_file, save_file

TRAIN = ("--preset", "lora", "--steps", 1)


@pytest.fixture(scope="module")
def runs(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("one", "two")):
        extra = ("--seed", seed, "--set", "optimizer.learning_rate=0.1")
        done = spf("train", "--data", data, *TRAIN, *extra, "--out", folder / name, *tiny)
        assert done.code == 0, done.err
    return [folder / "one", folder / "two"]


def pictures(page: Page, title: str) -> list[str | None]:
    """Sources of the pictures in one column of the rows."""
    return [each["src"] for each in page.all("img") if (each["alt"] or "").startswith(f"{title}: ")]


def test_a_page_shows_prompts_and_seeds_down_and_models_across(spf, runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "c.html"
    asked = ("--prompt", "an old man", "--prompt", "a young man", "--target", "wearing a hat")
    done = spf("compare", *runs, *asked, "--seeds", 2, "--strength", "0,1", "--out", out)
    assert done.code == 0, done.err
    assert done.out.strip() == f"wrote {out}"
    page = Page(out)
    page.stands_alone()
    base, prompted = pictures(page, "base model"), pictures(page, "base model + target")
    still, tuned = pictures(page, "one x 0"), pictures(page, "two")
    assert len(base) == len(prompted) == len(tuned) == 4
    assert still == prompted, "at strength 0 a run is the base model"
    assert tuned != prompted
    assert base != prompted
    stages = [line.split(" ")[0] for line in done.err.splitlines() if "4/4" in line]
    assert stages == ["original", "original", "one", "two"], "the base model is drawn once"
    assert str(tmp_path) not in page.source
    assert str(runs[0].parent) not in page.source
    assert {option["value"] for option in page.all("option")} == {"one x 0", "two", "base model + target"}


def test_a_file_is_compared_like_the_run_that_it_comes_from(spf, runs: list[Path], tmp_path: Path) -> None:
    file, out = tmp_path / "from-one.safetensors", tmp_path / "c.html"
    assert spf("export", runs[0], "--precision", "fp32", "--out", file).code == 0
    asked = ("--prompt", "an old man", "--target", "wearing a hat", "--seeds", 1, "--out", out)
    done = spf("compare", runs[0], file, *asked)  # the run says which base model the file needs
    assert done.code == 0, done.err
    page = Page(out)
    assert pictures(page, "one") == pictures(page, "from-one.safetensors")
    assert pictures(page, "one") != pictures(page, "base model + target")
    alone = ("compare", file, *asked, "--overwrite")
    assert spf(*alone).fails_with("--backbone")
    file.write_bytes(b"nothing")
    assert spf("compare", runs[0], file, *asked, "--overwrite").fails_with("from-one.safetensors")


def test_a_grid_holds_its_texts_and_seeds(spf, runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "c.png"
    done = spf("compare", runs[0], "--seeds", 1, "--first-seed", 7, "--steps", 1, "--out", out)
    assert done.code == 0, done.err
    with Image.open(out) as picture:
        assert picture.text["texts"].startswith("an old man, wearing a hat; a young woman with red hair")
        assert (picture.text["seeds"], picture.text["steps"]) == ("7", "1")
        assert picture.height > 4 * 190 > picture.width - 190, "four training texts, three columns"
    assert spf("compare", runs[0], "--out", out).fails_with(str(out), "--overwrite")


def test_without_training_data_a_prompt_is_needed(spf, runs: list[Path], tmp_path: Path) -> None:
    run = shutil.copytree(runs[0], tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(re.sub(r"(?m)^data: .*$", "data: gone", config.read_text()))
    assert spf("compare", run, "--out", tmp_path / "c.png").fails_with(str(run), "--prompt TEXT")
    file = tmp_path / "prompts.txt"
    file.write_text("an old man\n")
    asked = ("--prompt-file", file, "--seeds", 1, "--out", tmp_path / "c.png")
    assert spf("compare", run, *asked).code == 0


def test_validation_prompts_come_before_training_texts(spf, runs: list[Path], tmp_path: Path) -> None:
    run = shutil.copytree(runs[0], tmp_path / "run")
    config = run / "config.yaml"
    own = "validation_prompts: [{base_text: a woman, target_text: null}]"
    config.write_text(re.sub(r"validation_prompts: \[\]", own, config.read_text()))
    done = spf("compare", run, "--seeds", 1, "--out", tmp_path / "c.html")
    assert done.code == 0, done.err
    page = Page(tmp_path / "c.html")
    assert len(pictures(page, "base model")) == len(pictures(page, "run")) == 1
    assert not pictures(page, "base model + target")


def test_runs_of_other_base_models_are_refused_before_anything_is_drawn(
    spf, runs: list[Path], data: Path, tiny: list[str], tiny_folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny_folder, tmp_path / "other")
    (file,) = (other / "unet").glob("*.safetensors")
    save_file({name: 1.1 * tensor for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    sets = [f"backbone.path={other}" if each.startswith("backbone.path") else each for each in tiny]
    trained = spf("train", "--data", data, *TRAIN, "--out", tmp_path / "run", *sets)
    assert trained.code == 0, trained.err
    out = tmp_path / "c.png"
    refused = spf("compare", runs[0], tmp_path / "run", "--prompt", "a man", "--out", out)
    assert refused.fails_with(str(runs[0]), str(tmp_path / "run"), "different base models")
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--out", "c.jpg"), ("c.jpg", ".png", ".html")),
        (("--out", "c.png", "--strength", "1,1,1"), ("3 strengths for 2 runs",)),
        (("--out", "c.png", "--prompt", " "), ("--prompt is empty",)),
        (("--out", "c.png", "--prompt", "a", "--prompt-file", "x.txt"), ("--prompt-file",)),
        (("--out", "no/such.html", "--prompt-file", "none.txt"), ("none.txt", "does not exist")),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    spf, runs: list[Path], args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert spf("compare", *runs, *args).fails_with(*words)


def test_a_run_is_named_once_at_a_strength_and_names_are_distinct(
    spf, runs: list[Path], tmp_path: Path
) -> None:
    asked = ("--prompt", "a man", "--seeds", 1, "--out", tmp_path / "c.html")
    assert spf("compare", runs[0], runs[0], *asked).fails_with("twice")
    same = shutil.copytree(runs[0], tmp_path / "other" / "one")
    done = spf("compare", runs[0], same, runs[0], "--strength", "1,1,0.5", *asked)
    assert done.code == 0, done.err
    names = [option["value"] for option in Page(tmp_path / "c.html").all("option")]
    first = f"{runs[0].parent.name}/one"
    assert names == [first, "other/one", f"{first} x 0.5"]
    assert spf("compare", tmp_path, *asked, "--overwrite").fails_with("is not a run folder")
    assert spf("compare", runs[0], tmp_path / "none", *asked, "--overwrite").fails_with("does not exist")
