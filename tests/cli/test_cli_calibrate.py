"""`spf calibrate`: a recommended strength, stored with the weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spf_core.errors import ConfigError
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors, write_safetensors
from spf_core.runs.run import OpenRun
from spf_core.utils.prompts import Prompt
from spf_lab.calibration import calibrate_strength

TRIED = ("--strengths", "0.5,1,2", "--prompts", "2")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Path:
    from spf.loading import load_plugins
    from spf_core.config.loading import load_run_config
    from spf_core.training.loop import train

    folder, plugins = tmp_path_factory.mktemp("calibrate") / "run", load_plugins()
    fast = ["sample.every=0", "sample.steps=3", "train.batch_size=2", "optimizer.learning_rate=0.02"]
    assignments = [*tiny[1::2], *fast]
    overrides = {"data": str(data), "train": {"steps": 4}}
    train(
        load_run_config(plugins, preset="lora", overrides=overrides, assignments=assignments), folder, plugins
    )
    return folder


def test_a_recommendation_is_shown_and_stored(spf, run: Path) -> None:
    before, _ = read_safetensors(run / ADAPTER_FILE)
    done = spf("calibrate", run, *TRIED)
    assert done.code == 0, done.err
    stored = json.loads((run / "strengths.json").read_text())
    tensors, metadata = read_safetensors(run / ADAPTER_FILE)
    assert float(metadata["spf_strength"]) == stored["recommended"]
    exported = read_safetensors(run / "run.safetensors")[1]
    assert exported["spf_strength"] == metadata["spf_strength"]
    assert f"strength {stored['recommended']:g}" in exported["modelspec.usage_hint"]
    assert f"recommended by response: {stored['recommended']:g}" in done.out
    assert all((tensors[name] == before[name]).all() for name in before)
    assert (stored["measure"], stored["basis"]) == ("response", "2 training texts")
    assert metadata["spf_strength_by"] == exported["spf_strength_by"] == "response"
    settings = stored["settings"]
    assert [each["strength"] for each in settings] == [0.5, 1, 2]
    assert max(each["response"] for each in settings) == 1
    chosen = [each["strength"] for each in settings if each["response"] >= 0.95]
    assert stored["recommended"] == chosen[0]


@pytest.fixture(scope="module")
def judged(spf, tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Path:
    """A run on embedded portraits, whose suite has judges."""
    folder = tmp_path_factory.mktemp("judged")
    made = ("--target", "hat", "--count", 4, "--size", 32, "--bias", "background=teal")
    assert spf("data", "portraits", *made, "--out", folder / "data").code == 0
    settings = ("sample.every=0", "sample.steps=3", "optimizer.learning_rate=0.05")
    given = [part for setting in settings for part in ("--set", setting)]
    out = folder / "run"
    done = spf(
        "train", "--data", folder / "data", "--preset", "lora", "--steps", 4, "--out", out, *tiny, *given
    )
    assert done.code == 0, done.err
    return out


FEW = ("--strengths", "0.5,1,2", "--prompts", 3, "--seeds", 1)


def test_resuming_a_finished_run_keeps_the_recommendation_of_its_weights(
    spf, run: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    assert spf("calibrate", copied, *TRIED).code == 0
    files = [copied / "strengths.json", copied / ADAPTER_FILE, copied / "run.safetensors"]
    before = [file.read_bytes() for file in files]
    assert spf("train", "--resume", "--out", copied).code == 0
    assert [file.read_bytes() for file in files] == before
    tensors, metadata = read_safetensors(copied / ADAPTER_FILE)
    write_safetensors(copied / ADAPTER_FILE, {name: each + 1 for name, each in tensors.items()}, metadata)
    resumed = spf("train", "--resume", "--out", copied)
    assert "measured with" in resumed.err
    assert f"spf calibrate {copied}" in resumed.err
    assert "spf_strength" not in read_safetensors(copied / ADAPTER_FILE)[1]


def test_where_judges_are_the_purest_strength_is_recommended(spf, judged: Path) -> None:
    done = spf("calibrate", judged, *FEW, "--target", "beard")
    assert done.code == 0, done.err
    stored = json.loads((judged / "strengths.json").read_text())
    assert stored["measure"] == "sps"
    assert stored["basis"] == "3 unseen prompts x 1 seeds, embedded portraits, beard"
    assert stored["basis"] in done.out
    assert [each["strength"] for each in stored["settings"]] == [0.5, 1, 2]
    by_strength = {each["strength"]: each["sps"]["value"] for each in stored["settings"]}
    assert stored["recommended"] == max(by_strength, key=by_strength.__getitem__)
    for each in stored["settings"]:
        assert 0 <= each["spi"]["value"] <= 1
        assert 0 <= each["effect"]["value"] <= 1
        low, high = each["sps"]["ci"]
        assert low <= each["sps"]["value"] <= high
    assert f"recommended by sps: {stored['recommended']:g}, stored in {judged}" in done.out
    for file in (ADAPTER_FILE, "run.safetensors"):
        metadata = read_safetensors(judged / file)[1]
        assert float(metadata["spf_strength"]) == stored["recommended"]
        assert metadata["spf_strength_by"] == "sps"


def test_the_judge_is_found_from_the_run_and_refuses_what_is_not_learnt(spf, judged: Path) -> None:
    told = "SPS stays below 1 at strengths 0.5, 1, 2 (3 unseen prompts x 1 seeds, embedded portraits, hat)"
    done = spf("calibrate", judged, *FEW)
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert told in last
    assert "--by response" in last


def test_clip_may_be_asked_although_there_are_judges(spf, judged: Path) -> None:
    done = spf("calibrate", judged, *FEW, "--by", "response")
    assert done.code == 0, done.err
    assert "recommended by response: " in done.out
    assert "3 training texts" in done.out
    assert read_safetensors(judged / ADAPTER_FILE)[1]["spf_strength_by"] == "response"


def test_drift_grows_from_nothing_with_the_strength(run: Path) -> None:
    from spf.runs import open_run

    opened: OpenRun = open_run(run, device="cpu").model
    prompts = [Prompt("a portrait of an old man", "wearing a hat")] * 2
    found = calibrate_strength(opened, prompts, [1e-6, 1.0], keep=0.5, count=2)
    assert found.settings[0].drift == pytest.approx(0, abs=1e-3)
    assert found.settings[1].drift > found.settings[0].drift


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strengths", "0,1"), "--strengths 0,1: give numbers above 0"),
        (("--strengths", "1,nan"), "--strengths 1,nan: give numbers between commas"),
        (("--data", "nowhere"), "nowhere"),
        (("--by", "sps"), "name the target to judge with --target"),
        (("--by", "response", "--target", "hat"), "leave one of them out"),
        (("--suite", "portrait"), "portraits"),
        (("--target", "hut"), "hat"),
    ],
)
def test_what_cannot_be_tried_is_refused(spf, run: Path, arguments: tuple[str, ...], words: str) -> None:
    assert spf("calibrate", run, *arguments).fails_with(words)


def test_a_target_that_no_strength_draws_is_told(run: Path) -> None:
    """The handover lies below the last timestep of the sampler: the original draws everything."""
    from spf.runs import open_run

    opened = open_run(run, device="cpu").model
    sample = opened.config.sample.model_copy(update={"handover": 0.0005})
    late = replace(opened, config=opened.config.model_copy(update={"sample": sample}))
    prompts = [Prompt("a portrait of an old man", "wearing a hat")]
    with pytest.raises(ConfigError, match=r"no strength of 0\.5, 1 shows more of the target"):
        calibrate_strength(late, prompts, [1.0, 0.5], keep=0.5, count=1)
