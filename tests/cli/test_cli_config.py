"""`spf config`: precedence, round trip, schema, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml


def settings(outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    loaded: dict[str, Any] = yaml.safe_load(outcome.out)
    return loaded


def test_later_sources_win(spf, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "preset: lora\nadapter: {name: lora-adapter, rank: 3}\ntrain: {steps: 7, batch_size: 3}\n"
    )
    shown = settings(spf("config", "show", "--config", file, "--set", "train.steps=9"))
    assert shown["preset"] == "lora"
    assert (shown["adapter"]["rank"], shown["train"]["steps"], shown["train"]["batch_size"]) == (3, 9, 3)
    assert settings(spf("config", "show", "--config", file, "--preset", "naive"))["preset"] == "naive"


def test_show_takes_the_options_of_a_training(spf) -> None:
    def options(command: str) -> set[str]:
        return set(re.findall(r"--[a-z][a-z-]+", spf(*command.split(), "--help").out))

    only_of_training = {"--accept-changed-data", "--dry-run"}
    assert options("train") - options("config show") == only_of_training


def test_what_show_prints_resolves_to_itself(spf, tmp_path: Path, plugin_file: Path) -> None:
    shown = spf("config", "show", "--plugin", plugin_file, "--plugin", "uniform")
    file = tmp_path / "run.yaml"
    file.write_text(shown.out, encoding="utf-8")
    assert spf("config", "show", "--config", file, "--plugin", plugin_file).out == shown.out


def test_a_file_among_the_plugins_is_recorded_and_its_components_chosen(spf, plugin_file: Path) -> None:
    shown = settings(spf("config", "show", "--plugin", plugin_file, "--set", "losses.pull.strength=2"))
    assert shown["plugins"] == [str(plugin_file)]
    assert shown["control_map"]["name"] == "everywhere"
    assert shown["losses"]["pull"]["strength"] == 2
    assert "region-denoising" in shown["losses"]


def test_the_last_of_two_components_for_one_slot_wins(spf, plugin_file: Path) -> None:
    chosen = ("--plugin", plugin_file, "--plugin", "uniform")
    assert settings(spf("config", "show", *chosen))["control_map"]["name"] == "uniform"


def test_the_schema_holds_the_options_of_every_component(spf, plugin_file: Path) -> None:
    schema = json.loads(spf("config", "schema", "--plugin", plugin_file).out)
    slot = schema["properties"]["adapter"]["anyOf"]
    assert "lora-adapter" in slot[0]["enum"]
    lora = next(choice for choice in slot[1:] if choice["title"] == "lora-adapter")
    assert lora["properties"]["rank"]["minimum"] == 1
    assert lora["properties"]["name"] == {"const": "lora-adapter"}
    pull = schema["properties"]["losses"]["properties"]["pull"]["anyOf"][0]
    assert pull["properties"]["strength"]["maximum"] == 2
    assert schema["properties"]["response"]["anyOf"][-1] == {"type": "null"}
    assert "naive" in schema["properties"]["preset"]["enum"]


def test_every_reference_in_the_schema_is_defined(spf) -> None:
    text = spf("config", "schema").out
    schema = json.loads(text)
    used = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert used == set(schema["$defs"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--preset", "spg"), ("no preset named 'spg'", "Did you mean 'spf'?", "Installed: ")),
        (("--backbone", "sd9"), ("no backbone named 'sd9'", "Installed: ")),
        (("--plugin", "unifrom"), ("'unifrom'", "Did you mean 'uniform'?")),
        (
            ("--plugin", "sfcm-v9"),
            ("Did you mean 'sfcm-v1' or 'sfcm-v2'?", "kind control-map: mask, "),
        ),
        (("--plugin", "portraitz"), ("no plugin named 'portraitz'", "each backbone, adapter")),
        (("--plugin", "appearance"), ("'appearance' is a metric",)),
        (("--plugin", "none.py"), ("'none.py'", "does not exist")),
        (("--set", "train.stps=3"), ("stps", "Did you mean 'steps'?")),
        (("--set", "trian.steps=3"), ("trian", "Did you mean 'train'?")),
        (("--set", "train.steps=-1"), ("train.steps", "0")),
        (("--set", "train.steps=many"), ("train.steps", "many")),
        (("--set", "train.steps"), ("KEY=VALUE",)),
        (("--set", "adapter.rank=-1"), ("adapter.rank", "-1")),
        (("--set", "losses.denoising.weight=.nan"), ("losses.denoising", "nan")),
        (("--config", "none.yaml"), ("'none.yaml' does not exist",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_is_wrong_is_refused_in_one_line(spf, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert spf("config", "show", *args).fails_with(*words)


@pytest.mark.parametrize("content", ["a: [", "- a", "\xff"])
def test_a_config_file_that_is_no_mapping_is_refused(spf, tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content, encoding="latin-1")
    assert spf("config", "show", "--config", file).fails_with(str(file))
