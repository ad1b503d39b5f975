"""Who judges a run, and what is refused in one line before anything is drawn."""

import shutil
from pathlib import Path

import pytest

from spf_core.config.sections import DatasetSection
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.subject import find_subject
from spf_portraits.suite import PortraitsSuite


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--suite", "portraits", "--target", "hat"), ("--suite portraits", "sd15", "leave out --suite")),
        (("--suite", "portraits"), ("--suite portraits", "leave out --suite")),
        (("--set", "photos.parser.paht=x"), ("photos.parser", "paht", "path")),
        (("--set", "photos.judge=full"), ("judge", "judges")),
        (("--set", "photos.judges=heavy"), ("photos.judges", "light", "full")),
        (("--set", "photos=full"), ("photos.OPTION=VALUE",)),
        (("--set", "portraits.judges=x"), ("--set portraits.judges=x", "suite 'photos' judges this run")),
        (("--set", "photos.allowed_attributes=[hats]"), ("attribute", "hats")),
    ],
)
def test_what_cannot_be_judged_is_refused(evaluate, more, words) -> None:
    done, found = evaluate(*more)
    done.fails_with(*words)
    assert found is None


@pytest.mark.parametrize(("prompts", "words"), [(0, "from 1"), (201, "200"), ("nowhere.txt", "nowhere.txt")])
def test_prompts_that_are_not_there_are_refused(evaluate, prompts: object, words: str) -> None:
    done, _ = evaluate(prompts=prompts)
    done.fails_with("prompts", words)


def test_a_run_whose_data_are_gone_needs_a_target(spf, trained, tmp_path: Path) -> None:
    run = shutil.copytree(trained["sd15"], tmp_path / "run")
    config = run / "config.yaml"
    text = config.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("data:")]
    config.write_text(text.replace(line, f"data: {tmp_path / 'gone'}"), encoding="utf-8")
    few = ("--prompts", 2, "--seeds", 1, "--device", "cpu")
    spf("evaluate", run, "--out", tmp_path / "out", *few).fails_with("gone", "--target")
    done = spf("evaluate", run, "--out", tmp_path / "out", *few, "--target", "a red hat")
    assert done.code == 0, done.err
    assert "target uncalibrated" in done.out


def test_a_portraits_run_keeps_its_judges(photos: Path, tmp_path: Path) -> None:
    plugins, world = load_plugins(), tmp_path / "world"
    PortraitsSuite().write_training_set(world, target="hat", count=2, bias={}, seed=0, size=32)
    for backbone in ("mini", "sd15", None):
        assert find_subject(str(world), plugins, backbone=backbone).suite_name == "portraits"
    found = find_subject(str(photos), plugins, target="hat", backbone="mini")
    assert found.suite_name == "portraits", "mini draws that world alone"
    with pytest.raises(ConfigError, match="--target"):
        find_subject(str(photos), plugins, backbone="mini")
    on_sd = find_subject(str(photos), plugins, backbone="sd15", dataset=DatasetSection())
    assert (on_sd.suite_name, on_sd.target, len(on_sd.examples)) == ("photos", "wearing a hat", 10)


def test_the_suite_writes_no_training_set(spf, tmp_path: Path) -> None:
    spf("data", "photos", "--target", "hat", "--out", tmp_path / "out").fails_with("photos")
    assert "photos" not in spf("data", "--help").out


def test_the_options_of_every_judge_are_shown(spf) -> None:
    shown = spf("plugins", "show", "photos").out
    for option in ("judges", "target.path", "parser.allow_download", "identity.detector"):
        assert option in shown
    assert "$SPF_METRICS_HOME/face-parsing" in shown
    assert "'local' | 'global' | None" in shown


@pytest.mark.parametrize("command", ["benchmark", "continual"])
def test_what_trains_on_a_suites_own_data_refuses_photographs(spf, tmp_path: Path, command: str) -> None:
    file = tmp_path / "file.yaml"
    targets = "[hat, beard]" if command == "continual" else "[hat]"
    file.write_text(f"suite: photos\nbackbone: mini\ntargets: {targets}\npresets: [lora]\n", encoding="utf-8")
    spf(command, file, "--out", tmp_path / "out").fails_with("suite 'photos' writes no training sets")
