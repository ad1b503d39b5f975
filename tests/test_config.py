"""The run configuration: what wins over what, and what is refused with which words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from spf_core.config.loading import load_run_config, resolve
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins import ControlMapConfig, LossConfig, PresetConfig, ResponseConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.utils.yaml_text import read_yaml


class Blurred(ControlMapConfig):
    """A map with an option that has a default."""

    name = "blurred"
    blur: float = 1.0


class Loud(ResponseConfig):
    """Another response enhancement."""

    name = "loud"


class Tiny(PresetConfig):
    """A preset that sets an option."""

    name = "tiny"
    settings: ClassVar[dict[str, Any]] = {
        "backbone": "mini",
        "adapter": "lora-adapter",
        "reference": "adapter-off",
        "control_map": {"name": "blurred", "blur": 2.0},
        "response": {"name": "clip-direction", "weight": 0.3, "start": 0.5, "max_timestep": 0.2},
        "losses": {"denoising": {}, "fine-grained": {"weight": 2.0}},
        "train": {"steps": 7},
    }


class Plain(PresetConfig):
    """A preset with one loss."""

    name = "plain"
    settings: ClassVar[dict[str, Any]] = {
        "backbone": "mini",
        "adapter": "lora-adapter",
        "losses": {"denoising": {}},
    }


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    plugins = load_plugins()
    for config in (Blurred, Loud, Tiny, Plain):
        plugins.add(config, "test", "0")
    return plugins


def load(plugins: Plugins, *assignments: str, **arguments: Any) -> RunConfig:
    return load_run_config(plugins, **{"preset": "tiny", "assignments": assignments, **arguments})


def refusal(plugins: Plugins, *assignments: str, **arguments: Any) -> str:
    """The message of the refusal, which is one line."""
    with pytest.raises(ConfigError) as failure:
        load(plugins, *assignments, **arguments)
    message = str(failure.value)
    assert "\n" not in message
    return message


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def blur(config: RunConfig) -> float:
    assert isinstance(config.control_map, Blurred)
    return config.control_map.blur


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), 2.0),
        (("file",), 3.0),
        (("file", "flag"), 4.0),
        (("file", "flag", "set"), 5.0),
        (("set",), 5.0),
    ],
)
def test_later_layers_win_over_earlier_ones(
    plugins: Plugins, tmp_path: Path, layers: Sequence[str], expected: float
) -> None:
    config = load(
        plugins,
        *(["control_map.blur=5"] if "set" in layers else []),
        file=write(tmp_path, "control_map: {blur: 3}") if "file" in layers else None,
        overrides={"control_map": {"blur": 4}} if "flag" in layers else None,
    )
    assert blur(config) == expected


def test_a_chosen_plugin_wins_over_the_file_and_starts_from_its_own_defaults(
    plugins: Plugins, tmp_path: Path
) -> None:
    file = write(tmp_path, "control_map: uniform")
    assert blur(load(plugins, file=file, chosen=["blurred"])) == 1.0


def test_set_reaches_into_the_plugin_chosen_beside_it(plugins: Plugins) -> None:
    assert blur(load(plugins, "control_map.blur=9", preset="plain", chosen=["blurred"])) == 9.0


def test_a_preset_flag_wins_over_the_preset_in_the_file(plugins: Plugins, tmp_path: Path) -> None:
    file = write(tmp_path, "preset: spf\ntrain: {steps: 3}")
    config = load(plugins, file=file, preset="tiny")
    assert (config.preset, config.train.steps) == ("tiny", 3)
    assert load(plugins, file=file, preset=None).preset == "spf"


def test_a_preset_chosen_as_a_plugin_replaces_the_default_preset(plugins: Plugins) -> None:
    config = load(plugins, preset=None, chosen=["plain"])
    assert config.preset == "plain"
    assert list(config.losses) == ["denoising"]


def test_two_presets_are_refused(plugins: Plugins) -> None:
    assert "'plain' and 'tiny' are both chosen" in refusal(plugins, chosen=["plain"])
    assert "--preset plain" in refusal(plugins, "preset=plain")


def test_loading_a_run_leaves_the_presets_as_they_were(plugins: Plugins) -> None:
    before = load(plugins)
    load(plugins, "losses.fine-grained.weight=9", "control_map.blur=9", "train.steps=9", "response=null")
    assert load(plugins) == before


def test_a_chosen_loss_is_added_to_those_of_the_preset(plugins: Plugins) -> None:
    config = load(plugins, chosen=["text-consistency"])
    assert list(config.losses) == ["denoising", "fine-grained", "text-consistency"]
    assert config.losses["fine-grained"].weight == 2.0


def test_another_component_in_a_slot_keeps_only_weight_and_schedule(plugins: Plugins) -> None:
    response = load(plugins, "response=loud").response
    assert response == Loud(weight=0.3, start=0.5)


def test_the_same_component_keeps_its_other_options(plugins: Plugins) -> None:
    response = load(plugins, "response={name: clip-direction, weight: 0.9}").response
    assert response is not None
    assert response.model_dump() == {
        "name": "clip-direction",
        "weight": 0.9,
        "start": 0.5,
        "stop": 1.0,
        "max_timestep": 0.2,
        "decode_size": 64,
        "share": 1.0,
    }


def test_a_slot_can_be_emptied_and_a_loss_switched_off(plugins: Plugins) -> None:
    config = load(plugins, "response=null", "losses.fine-grained=false", "control_map=null", "reference=null")
    assert config.response is None
    assert config.needs == frozenset()
    assert config.losses["fine-grained"].weight == 0


@pytest.mark.parametrize("preset", ["spf", "lora", "naive", "spf-no-enhancement", "tiny"])
def test_a_dumped_configuration_reads_back_equal(plugins: Plugins, tmp_path: Path, preset: str) -> None:
    config = load(plugins, "optimizer.learning_rate=1e-4", "losses.denoising.weight=0.5", preset=preset)
    file = write(tmp_path, config.dump())
    assert resolve(read_yaml(file), plugins) == config


def test_a_dumped_configuration_given_as_config_file_repeats_the_run(
    plugins: Plugins, tmp_path: Path
) -> None:
    config = load(plugins, "losses.fine-grained=false", "response=null", "control_map.blur=8")
    file = write(tmp_path, config.dump())
    assert load(plugins, preset=None, file=file) == config


@pytest.mark.parametrize("value", ["no", "bf16"])
def test_precision_no_is_a_word_and_not_the_yaml_for_false(
    plugins: Plugins, tmp_path: Path, value: str
) -> None:
    assert load(plugins, f"train.precision={value}").train.precision == value
    assert load(plugins, file=write(tmp_path, f"train: {{precision: {value}}}")).train.precision == value


def test_exponents_are_numbers_as_in_python(plugins: Plugins) -> None:
    assert load(plugins, "optimizer.learning_rate=2e-5").optimizer.learning_rate == 2e-5


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("trian.steps=3", "unknown key 'trian'. Did you mean 'train'?"),
        ("train.step=3", "train.step: unknown option 'step'. Did you mean 'steps'?"),
        ("control_map.blurr=3", "control_map.blurr: unknown option 'blurr'. Did you mean 'blur'?"),
        ("losses.fine-grained.wieght=3", "unknown option 'wieght'. Did you mean 'weight'?"),
        ("losses.fine-graned.weight=3", "no loss named 'fine-graned'. Did you mean 'fine-grained'?"),
        ("control_map=blured", "no control-map named 'blured'. Did you mean 'blurred'?"),
        ("control_map=denoising", "'denoising' is a loss, not a control-map"),
        ("response.loud=1", "response.loud: unknown option 'loud'"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(plugins: Plugins, assignment: str, words: str) -> None:
    assert words in refusal(plugins, assignment)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.steps=-1", "train.steps: Input should be greater than or equal to 0 (got -1)"),
        ("train.steps=many", "train.steps: Input should be a valid integer"),
        ("train=5", "train: Input should be"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: Input should be greater than 0 (got -1)"),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate: Input should be"),
        ("control_map.blur=wide", "control_map.blur: Input should be a valid number"),
        ("control_map=3", "control_map: expected the name of a control-map, got"),
        ("losses=denoising", "losses: expected a mapping"),
        ("losses.denoising=3", "losses.denoising: expected options, true or false, got 3"),
        (
            "losses.denoising.start=2",
            "losses.denoising.start: Input should be less than or equal to 1 (got 2)",
        ),
        ("response.stop=0.1", "response: start=0.5 lies after stop=0.1"),
        ("train={min_timestep: 0.5, max_timestep: 0.4}", "min_timestep=0.5 must lie below max_timestep=0.4"),
        ("train.seed=true", "train.seed: expected a number, not true or false (got True)"),
        ("optimizer.learning_rate=false", "optimizer.learning_rate: expected a number"),
        ("optimizer.betas=[true, 0.9]", "optimizer.betas: expected a number"),
        ("adapter.rank=true", "adapter.rank: expected a number"),
        ("optimizer.betas=[1, 2]", "optimizer.betas.0: Input should be less than 1"),
        (
            "plugins=[mine.py]",
            "--set plugins=[mine.py]: no setting makes a plugin file run; name it with --plugin FILE.py",
        ),
        ("backbone=null", "backbone: "),
        ("reference=null", "`reference` is empty; set it to one of adapter-off, bank"),
        ("control_map=null", "`control_map` is empty; set it to one of blurred, mask"),
    ],
)
def test_an_impossible_value_is_one_line_with_its_place(
    plugins: Plugins, assignment: str, words: str
) -> None:
    assert words in refusal(plugins, assignment)


def test_a_run_without_any_weighted_loss_is_refused(plugins: Plugins) -> None:
    assert "no term has a weight above 0" in refusal(
        plugins, "losses.denoising=false", "losses.fine-grained.weight=0"
    )


@pytest.mark.parametrize("assignment", ["train.steps", "=3", "train..steps=3", "train.steps=[1", ""])
def test_an_assignment_that_is_none_is_refused(plugins: Plugins, assignment: str) -> None:
    assert refusal(plugins, assignment).startswith(f"--set {assignment}: ")


@pytest.mark.parametrize(
    "text", ["", "just words", "[1, 2]", "1: 2", "train: [", "preset: 5", "losses: {3: {}}"]
)
def test_a_file_that_is_no_configuration_is_refused(plugins: Plugins, tmp_path: Path, text: str) -> None:
    assert refusal(plugins, preset=None, file=write(tmp_path, text))


@pytest.mark.parametrize("backbone", ["nope", "denoising", "2020-01-01 10:00:00"])
def test_a_file_that_chooses_a_backbone_that_is_none_is_named(
    plugins: Plugins, tmp_path: Path, backbone: str
) -> None:
    file = write(tmp_path, f"backbone: {backbone}")
    assert refusal(plugins, file=file).startswith(f"'{file}': ")
    assert str(file) not in refusal(plugins, file=file, backbone="nowhere")


@pytest.mark.parametrize("option", ["preset", "backbone"])
def test_an_empty_name_is_not_taken_for_no_name(plugins: Plugins, option: str) -> None:
    assert f"no {option} named ''" in refusal(plugins, **{option: ""})


def test_a_missing_file_is_named(plugins: Plugins, tmp_path: Path) -> None:
    assert f"'{tmp_path / 'none.yaml'}' does not exist" in refusal(plugins, file=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("name", "words"), [("appearance", "is a metric"), ("sfcm-v8", "no plugin named 'sfcm-v8'")]
)
def test_only_parts_of_a_run_can_be_chosen(plugins: Plugins, name: str, words: str) -> None:
    assert words in refusal(plugins, chosen=[name])


def test_a_term_counts_within_its_schedule_only() -> None:
    term = LossConfig(start=0.4, stop=0.8)
    assert [term.active(progress) for progress in (0.0, 0.39, 0.4, 0.79, 0.8, 0.99)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    assert not LossConfig(weight=0).active(0.5)


def test_a_component_without_options_says_so(plugins: Plugins) -> None:
    with pytest.raises(ConfigError, match=r"unknown option 'blurr'\. It has no options$"):
        load(plugins, "control_map={name: sfcm-counterfactual, blurr: 1}", "counterfactuals.enabled=true")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("optimizer.betas=[1,0.9]", "optimizer.betas.0: Input should be less than 1"),
        ("optimizer.betas=[0.9,-1]", "optimizer.betas.1: Input should be greater than or equal to 0"),
        ("adapter.rank=9223372036854775807", "adapter.rank: Input should be less than or equal to 65536"),
        ("train.batch_size=9223372036854775807", "train.batch_size: Input should be less than"),
        ("train.text_variants=1000001", "train.text_variants: Input should be less than"),
        ("dataset.views=1000001", "dataset.views: Input should be less than"),
        ("evaluation.prompts=1000001", "evaluation.prompts: Input should be less than"),
    ],
)
def test_a_number_that_no_run_could_use_is_refused_before_anything_is_computed(
    plugins: Plugins, assignment: str, words: str
) -> None:
    assert words in refusal(plugins, assignment, preset="plain")


def test_every_step_has_a_term(plugins: Plugins) -> None:
    short = ("train.steps=4", "losses.denoising.stop=0.5")
    assert "no term is active in step 3 of 4" in refusal(plugins, *short, preset="plain")
    late = ("train.steps=4", "losses.denoising.start=0.5")
    assert "no term is active in step 1 of 4" in refusal(plugins, *late, preset="plain")
    other = "losses.token-grounding={start: 0.5}"
    assert load(plugins, *short, other, preset="plain").train.steps == 4
    extended = ("train.steps=8", "train.extended_from=4")
    assert load(plugins, *extended, preset="plain").train.steps == 8


def test_an_old_name_of_an_option_is_refused_with_the_new_one(plugins: Plugins) -> None:
    assert "train.bank=4: this option is now reference.name=bank and reference.states=4" in refusal(
        plugins, "train.bank=4"
    )
    assert "this option is now dataset.cache=True" in refusal(plugins, "dataset.keep=true")


def test_an_old_name_without_effect_is_left_out(plugins: Plugins) -> None:
    assert load(plugins, "train.bank=0", "dataset.keep=false") == load(plugins)


def test_settings_that_an_earlier_version_saved_are_read_under_the_new_names(plugins: Plugins) -> None:
    settings = load(plugins, "train.noise_share=0.5").model_dump(mode="json")
    del settings["dataset"]["cache"]
    old = {
        **settings,
        "train": {**settings["train"], "bank": 4},
        "dataset": {**settings["dataset"], "keep": True},
    }
    now = resolve(old, plugins, saved=True)
    assert now.reference is not None
    assert now.reference.model_dump() == {"name": "bank", "states": 4}
    assert now.dataset.cache


def test_a_chosen_component_that_no_term_reads_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    plugins = load_plugins()
    load_run_config(plugins, preset="lora", chosen=["clip-reward"])
    assert "no term of preset 'lora' reads the reward 'clip-reward', so it changes nothing" in caplog.text
    assert caplog.text.rstrip().endswith("add a loss that does, such as --plugin reward-feedback")
    caplog.clear()
    load_run_config(plugins, preset="lora", chosen=["clip-reward", "reward-feedback"])
    load_run_config(plugins, preset="spf-paper", chosen=["sfcm-v2", "frozen-copy"])
    assert not caplog.text
