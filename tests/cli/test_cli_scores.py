"""Scores of the literature on the command line: chosen, shown, not available, and their weights converted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from installing import installed

from spf.measuring import Evaluation, results_table
from spf_cli.render import as_table, show
from spf_core.interfaces import Backbone, Column, Quadruples, Score, Suite
from spf_core.plugins import ScoreConfig
from spf_lab.evaluation.readout import result_rows


class Brightness(ScoreConfig):
    """How bright the pictures are."""

    name = "brightness"

    def build(self) -> Score:
        return Measure()


class Measure:
    """None for the first picture."""

    provenance: Mapping[str, Any] = {"model": "none"}

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        values = torch.tensor([float(np.asarray(image).mean()) for image in quads.c])
        values[0] = torch.nan
        return {"": Column("mean of all pixels", "higher", values, failed={0: "too dark"})}


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scores") / "run"
    done = spf("train", "--preset", "lora", "--data", data, "--out", out, "--steps", "1", *tiny)
    assert done.code == 0, done.err
    return out


def evaluate(spf, run: Path, out: Path, *more: object):
    return spf("evaluate", run, "--target", "hat", "--prompts", "2", "--seeds", "1", "--out", out, *more)


def row(shown: str, name: str) -> str:
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == [name]]
    return line


@pytest.mark.usefixtures("cache")
def test_an_evaluation_shows_the_scores_that_the_world_can_judge(
    spf, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = evaluate(spf, run, tmp_path / "out")
    assert done.code == 0, done.err
    for name in (
        "suite-fd",
        "suite-fd-kid",
        "suite-seg-cons-out",
        "backbone-clip-i",
        "backbone-clip-t-target",
    ):
        assert "base model" in row(done.out, name)
    assert "own CLIP" in row(done.out, "backbone-clip-i")
    assert "lpips" not in done.out
    assert "not available" not in done.err
    monkeypatch.setenv("COLUMNS", "60")
    show(as_table(results_table({"runs/hat": Evaluation(tmp_path / "out")})))
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 60
    for name in ("hit_rate_original", "base_leak", "suite-seg-cons-out", "backbone-clip-t-target"):
        assert name in narrow.split()


@pytest.mark.usefixtures("cache")
def test_a_score_of_a_package_and_one_without_weights_stand_side_by_side(
    spf, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPF_METRICS_HOME", raising=False)
    with installed(Brightness):
        done = evaluate(spf, run, tmp_path / "out", "--score", "brightness", "--score", "clip-i")
    assert done.code == 0, done.err
    assert "warning: score 'clip-i' will not be available: no weights 'clip'" in done.err
    assert "not available: no weights 'clip'" in row(done.out, "clip-i")
    assert "failed on 1 of 2 pairs" in row(done.out, "brightness")
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert results["scores"]["brightness"]["failed"] == {"0": "too dark"}
    assert "suite-fd" not in results["scores"]


def test_a_wrong_score_is_refused_before_anything_is_loaded(spf, run: Path, tmp_path: Path) -> None:
    assert evaluate(spf, run, tmp_path / "out", "--score", "lpisp").fails_with(
        "'lpisp'", "Did you mean 'lpips'"
    )
    wrong = ("--score", "lpips", "--set", "lpips.size=8")
    assert evaluate(spf, run, tmp_path / "out", *wrong).fails_with("lpips.size", "64")


def test_runs_with_other_scores_have_a_row_each() -> None:
    found = {
        "value": 0.5,
        "ci": [0.4, 0.6],
        "better": "lower",
        "meaning": "a distance",
        "note": "",
        "failed": {},
    }
    absent = {"value": None, "ci": [None, None], "not_available": "no weights"}
    original = {"original": {"value": 0.0012, "ci": [0.0, 0.1]}}
    rows = result_rows(
        {"one": {"scores": {"x": found | original}}, "two": {"scores": {"x": absent}}, "old": {}}
    )
    meaning = "a distance ↓; base model 0.001"
    assert rows[-1] == ("  x", "0.50 [0.40, 0.60]", "not available: no weights", "-", meaning)


def test_plugins_show_tells_what_a_score_reads(spf) -> None:
    shown = spf("plugins", "show", "hps-v2-1").out
    for words in ("$SPF_METRICS_HOME/hps-v2-1", "HPS_v2.1_compressed.pt", "Apache-2.0", "allow_download"):
        assert words in shown
    assert "openai/clip-vit-large-patch14" in spf("plugins", "show", "clip-i").out
    assert "$SPF_METRICS_HOME" not in spf("plugins", "show", "suite-fd").out


def test_weights_are_converted_and_what_is_missing_is_named(spf, tmp_path: Path) -> None:
    from spf_lab.metrics.networks.iresnet import IResNet

    source, out = tmp_path / "backbone.pth", tmp_path / "arcface"
    torch.save(IResNet((4, 4, 8, 8, 8), (1, 1, 1, 1), 16).state_dict(), source)
    done = spf("convert-weights", "id", source, "--out", out)
    assert (done.code, done.out) == (0, f"wrote {out}\n"), done.err
    assert (out / "model.safetensors").is_file()
    assert spf("convert-weights", "id", source, "--out", out).fails_with("not empty", "--out")
    fresh = ("--out", tmp_path / "fresh")
    assert spf("convert-weights", "id", source, source, *fresh).fails_with("2 files are given; give 1")
    assert spf("convert-weights", "clip-i", source, *fresh).fails_with("clip-i", "no converter")
    assert spf("convert-weights", "mps", source, *fresh).fails_with("--base", "CLIP-ViT-H-14")
    assert spf("convert-weights", "lpisp", source, *fresh).fails_with("Did you mean 'lpips'")
    assert spf("convert-weights", "fid", tmp_path / "gone.pt", *fresh).fails_with("gone.pt", "does not exist")
