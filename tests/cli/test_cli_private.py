"""What is passed on holds no path of this machine: weights, checkpoints, pictures, results and pages."""

import shutil
from pathlib import Path

import pytest
from benchmarks import write

from spf_core.utils.private import public, without_places

TELLTALE = "jane-doe"
OWN = {"config.yaml", "provenance.json", "benchmark.yaml", "results.md"}  # of the run and the benchmark alone


@pytest.fixture(scope="module")
def home(
    spf, data: Path, tiny: list[str], tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with everything that is made of it, all under a folder with a name that tells."""
    home = tmp_path_factory.mktemp("home") / TELLTALE
    base, pictures, run = home / "models" / "tiny", home / "pictures", home / "runs" / "hat"
    shutil.copytree(tiny_folder, base)
    shutil.copytree(data, pictures)
    sets = [each.replace(str(tiny_folder), str(base)) for each in tiny]
    more = ("--set", "checkpoint.every=1", "--set", "sample.every=2")
    train = ("train", "--data", pictures, "--preset", "lora", *sets)
    judged = ("evaluate", run, "--target", "hat", "--prompts", 1, "--seeds", 1, "--out", run / "evaluation")
    lines = [
        (*train, "--steps", 2, "--out", run, *more),
        (*train, "--steps", 1, "--out", home / "runs" / "next", "--start-from", run),
        (*judged, "--score", "lpips", "--set", f"lpips.path={home / 'no-weights'}"),
        ("sample", run, "--prompt", "a man", "--seeds", 1, "--out", home / "grid.png"),
        ("attention", run, "--prompt", "a man", "--token", "man", "--out", home / "attention.png"),
        ("export", run, "--format", "diffusers", "--out", home / "export"),
        ("export", run, "--out", home / "hat.safetensors"),
        ("report", run),
        ("report", home / "runs" / "next"),
    ]
    for line in lines:
        done = spf(*line)
        assert done.code == 0, (line, done.err)
    return home


def test_nothing_that_is_passed_on_names_a_place(home: Path) -> None:
    read = [file for folder in ("runs", "export") for file in (home / folder).rglob("*") if file.is_file()]
    read += [home / name for name in ("grid.png", "attention.png", "hat.safetensors")]
    kinds = {file.suffix for file in read}
    assert {".safetensors", ".png", ".json", ".html", ".md", ".jsonl"} <= kinds
    telling = [str(file) for file in read if file.name not in OWN and TELLTALE.encode() in file.read_bytes()]
    assert telling == []


def test_a_page_names_no_place_where_the_model_is_gone(spf, home: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(home / "runs" / "hat", tmp_path / TELLTALE / "hat"))
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("models/tiny", "models/gone"))
    assert spf("report", run, "--overwrite").code == 0
    page = (run / "report.html").read_text()
    assert "gone" in page, "why there are no attention maps"
    assert TELLTALE not in page


def test_a_benchmark_can_be_passed_on(spf, settings, home: Path, tmp_path: Path) -> None:
    base = str(home / "models" / "tiny")
    sets = [f"backbone.path={base}" if each.startswith("backbone.path") else each for each in settings["set"]]
    changes = {"presets": ["lora"], "seeds": [0], "steps": 1, "set": sets}
    out = tmp_path / "out"
    file = write(tmp_path / "small.yaml", {**settings, **changes})
    for _ in range(2):  # the second time its record is compared with the settings
        done = spf("benchmark", file, "--out", out)
        assert done.code == 0, done.err
    (record,) = out.rglob("record.json")
    assert TELLTALE not in record.read_text(encoding="utf-8")
    assert spf("report", out).code == 0
    assert TELLTALE not in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("'/home/jane doe/a b/c.png' is damaged; see /home/jane/x.json", "'c.png' is damaged; see x.json"),
        ("~/models/x, C:\\Users\\jane\\y", "x, y"),
        ("set backbone.path; https://github.com/a/b and a/b stay", None),
        ("'runs/hat' does not exist", None),
    ],
)
def test_of_a_message_the_names_stay(message: str, shown: str | None) -> None:
    assert without_places(message) == (shown or message)


def test_of_settings_the_keys_stay() -> None:
    given = {"path": "/home/jane/x", "set": ["backbone.path=~/x", "train.steps=2"], "model": "me/hat", "n": 1}
    shown = {"path": "(local)", "set": ["backbone.path=(local)", "train.steps=2"], "model": "me/hat", "n": 1}
    assert public(given) == shown
