"""The stretch before the first step: its stages are planned, bounded, kept, and continued."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from spf_core.preparation import counterfactuals, trajectories
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.training.resources import drawn_texts

# Forty rows: the counterfactuals are drawn in groups of 32 and 8.
MANY = ("--preset", "spf", "--steps", 1, "--set", "train.text_variants=10", "--set", "calibration.prompts=1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def saved(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return found


def counted(monkeypatch: pytest.MonkeyPatch, place: Any, stop: Callable[[int], bool]) -> list[int]:
    """Rows of every guided prediction; one of `stop` rows is interrupted by Ctrl-C."""
    drawn: list[int] = []
    predict = place.guided_prediction

    def counting(backbone: Any, z_t: torch.Tensor, *rest: Any) -> torch.Tensor:
        drawn.append(len(z_t))
        if stop(len(z_t)):
            signal.raise_signal(signal.SIGINT)
        found: torch.Tensor = predict(backbone, z_t, *rest)
        return found

    monkeypatch.setattr(place, "guided_prediction", counting)
    return drawn


def test_an_interrupted_preparation_goes_on_where_it_was_with_the_same_bits(
    spf, data: Path, tiny: list[str], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    command = ("train", "--data", data, "--out", out, *MANY, *tiny)
    with monkeypatch.context() as patch:
        counted(patch, counterfactuals, lambda rows: rows == 8)
        ended = spf(*command)
    assert ended.code == 130, ended.err
    assert "stage 3 of 7: counterfactuals 32/40" in ended.err
    last = ended.err.splitlines()[-1]
    assert "interrupted in stage 3 of 7, counterfactuals; what is finished of class images" in last
    assert f"is kept in '{cache}'. Continue with: the same command" in last
    assert not out.exists()
    with monkeypatch.context() as patch:
        drawn = counted(patch, counterfactuals, lambda rows: False)
        done = spf(*command)
    assert done.code == 0, done.err
    assert set(drawn) == {8}, "the first group is read"
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "other"))
    whole = spf("train", "--data", data, "--out", tmp_path / "whole", *MANY, *tiny)
    assert whole.code == 0, whole.err
    found, expected = (read_safetensors(run / ADAPTER_FILE)[0] for run in (out, tmp_path / "whole"))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_trajectories_are_kept_for_the_next_run(
    spf, data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "train",
        "--data",
        data,
        "--preset",
        "spf-paper",
        "--steps",
        1,
        "--set",
        "train.noise_share=0.5",
    )
    drawn = counted(monkeypatch, trajectories, lambda rows: False)
    assert spf(*command, "--out", tmp_path / "one", *tiny).code == 0
    assert drawn == [4, 4]
    assert spf(*command, "--out", tmp_path / "two", *tiny).code == 0
    assert drawn == [4, 4]
    one, two = (read_safetensors(tmp_path / run / ADAPTER_FILE)[0] for run in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_a_run_draws_for_as_many_texts_as_the_limit_allows_and_says_and_saves_the_number(
    spf, data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "--data", data, *MANY, *tiny)
    with monkeypatch.context() as patch:
        patch.setattr(drawn_texts, "LIMIT", 0.0)
        shown, done = spf(*command, "--dry-run"), spf(*command, "--out", tmp_path / "few")
    assert shown.code == 0, shown.err
    assert "for 1 of 10 texts of each image" in shown.out
    (stage,) = [line for line in shown.out.splitlines() if ": class images" in line]
    assert stage.split()[:8] == ["stage", "2", "of", "7:", "class", "images", "4", "images"]
    assert done.code == 0, done.err
    (told,) = [line for line in done.err.splitlines() if "texts of each image" in line]
    assert "draws for 1 of 10 texts of each image, about " in told
    assert ": all would take " in told
    assert "train.drawn_texts" in told
    assert saved(tmp_path / "few")["train"]["drawn_texts"] == 1
    assert "stage 2 of 7: class images 4/4" in done.err
    again = spf("train", "--resume", "--out", tmp_path / "few", "--steps", 2)
    assert again.code == 0, again.err
    assert "stage 2 of 7: class images 4/4" in again.err, "a run keeps its number"


def test_quick_is_a_layer_below_what_the_user_sets(spf, data: Path, tiny: list[str], tmp_path: Path) -> None:
    plain = yaml.safe_load(spf("config", "show", "--data", data).out)
    shown = spf("config", "show", "--data", data, "--quick")
    quick = yaml.safe_load(shown.out)
    assert (plain["train"]["steps"], quick["train"]["steps"]) == (600, 300)
    assert (quick["train"]["drawn_texts"], quick["train"]["drawing_steps"]) == (1, 10)
    assert (plain["calibration"]["enabled"], quick["calibration"]["enabled"]) == (True, False)
    (told,) = shown.err.splitlines()
    assert told == (
        "quick: 300 steps in place of 600, images before training for 1 of 4 texts of each image, "
        "10 sampler steps for these in place of 20, no calibration of the handover"
    )
    own = ("--steps", 500, "--set", "calibration.enabled=true", "--set", "train.drawn_texts=2")
    mixed = yaml.safe_load(spf("config", "show", "--data", data, "--quick", *own).out)
    assert (mixed["train"]["steps"], mixed["train"]["drawn_texts"]) == (500, 2)
    assert mixed["calibration"]["enabled"] is True
    lora = spf("config", "show", "--data", data, "--preset", "lora", "--quick")
    assert lora.err.splitlines() == ["quick: 200 steps in place of 400"]
    done = spf("train", "--data", data, "--quick", "--steps", 1, "--out", tmp_path / "run", *tiny)
    assert done.code == 0, done.err
    assert saved(tmp_path / "run")["train"]["drawing_steps"] == 10
    resumed = spf("train", "--resume", "--quick", "--out", tmp_path / "run")
    assert resumed.fails_with("--quick", "leave it out")
