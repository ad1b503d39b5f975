"""`spf train` and what works on its runs: `spf sample` and `spf evaluate`."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    trained = spf("train", "--data", data, "--preset", "lora", "--out", out, "--steps", 2, *tiny)
    assert trained.code == 0, trained.err
    return out


def test_flags_end_up_in_the_saved_configuration(run: Path, data: Path, tiny_folder: Path) -> None:
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["preset"] == "lora"
    assert saved["data"] == str(data)
    assert (saved["train"]["steps"], saved["train"]["batch_size"]) == (2, 2)
    assert saved["backbone"] == {"name": "mini", "path": str(tiny_folder)}


def test_a_run_says_where_it_is_and_ends_with_commands_that_can_be_copied(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "my runs" / "chapeau d'été"
    told = spf("train", "--data", data, "--preset", "lora", "--out", run, "--steps", 1, *tiny)
    first, *rest = told.out.splitlines()
    assert first.startswith(f"run folder: {run}; ")
    commands = [shlex.split(line.partition(": ")[2]) for line in rest if " spf " in line]
    assert [words[:2] for words in commands] == [["spf", "sample"], ["spf", "evaluate"]]
    assert commands[0][5:7] == ["--target", "wearing a hat"]
    assert spf(*commands[0][1:]).code == 0
    assert (run / "grid.png").is_file()
    assert commands[1][2:] == [str(run), "--out", str(run / "evaluation")]


def test_an_empty_data_option_is_not_taken_for_none(
    spf, data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, here = tmp_path / "settings.yaml", tmp_path / "here"
    file.write_text(f"data: {data}\ntrain: {{steps: 1}}\n")
    here.mkdir()
    monkeypatch.chdir(here)
    options = ("--preset", "lora", "--config", file, "--out", tmp_path / "run", *tiny)
    assert spf("train", "--data", "", *options).fails_with("data folder '.' is empty")


def test_the_preset_prompt_trains_nothing_and_draws_what_the_original_draws(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained = spf("train", "--data", data, "--preset", "prompt", "--out", run, *tiny)
    assert trained.code == 0, trained.err
    assert "trained 0 steps" in trained.out
    weights, _ = read_safetensors(run / ADAPTER_FILE)
    assert all(not tensor.any() for name, tensor in weights.items() if "lora_B" in name)
    asked = ("--prompt", "a portrait", "--target", "wearing a hat", "--out", tmp_path / "drawn.png")
    assert spf("sample", run, *asked).code == 0
    assert spf("report", run).code == 0


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    args = ("--data", data, "--preset", "lora", "--out", tmp_path / "run", "--steps", 3)
    told = spf("train", *args, *tiny).err.splitlines()
    stages = [line for line in told if line.startswith("stage ")]
    assert [line.split("  ")[0] for line in stages[:2]] == [
        f"stage 1 of 2: encoding images {done}/4" for done in (0, 4)
    ]
    training = [line.removeprefix("stage 2 of 2: training ") for line in stages[2:]]
    assert [line.split()[0] for line in training] == ["0/3", "1/3", "2/3", "3/3"]
    assert all(" denoising " in line for line in training[1:])
    assert " left" in training[1]


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shown = spf("train", "--data", data, "--out", out, "--steps", 7, "--preset", "naive", "--dry-run", *tiny)
    assert shown.code == 0, shown.err
    for words in ("adapter:\n  name: full-unet", "rows", "4", "steps", "7", "trainable parameters"):
        assert words in shown.out
    assert "calibration" not in shown.out, "settings that are defaults are left out"
    (term,) = [line for line in shown.out.splitlines() if line.startswith("denoising ")]
    assert term.split() == ["denoising", "1", "1", "to", "7", "nothing", "more"]
    assert not out.exists()


def test_the_command_that_a_dry_run_names_shows_the_settings_of_the_run(
    spf, tmp_path: Path, data: Path, tiny: list[str]
) -> None:
    words = (
        "--trigger",
        "wearing a hat",
        "--steps",
        7,
        "--seed",
        3,
        "--preset",
        "lora",
        "--plugin",
        "sfcm-v2",
    )
    folder = shutil.copytree(data, tmp_path / "two words")
    out = tmp_path / "run"
    shown = spf("train", "--data", folder, *words, "--out", out, *tiny, "--dry-run")
    assert shown.code == 0, shown.err
    hint = shlex.split(shown.out.splitlines()[-1].partition("spf config show ")[2])
    settings = yaml.safe_load(spf("config", "show", *hint).out)
    assert settings["data"] == str(folder)
    assert settings["dataset"]["trigger"] == "wearing a hat"
    assert (settings["train"]["steps"], settings["train"]["seed"]) == (7, 3)
    assert (settings["preset"], settings["control_map"]["name"]) == ("lora", "sfcm-v2")
    assert settings["sample"]["steps"] == 2
    trained = spf("train", "--data", folder, *words, "--steps", 1, "--out", out, *tiny)
    assert trained.code == 0, trained.err
    resumed = spf("config", "show", "--resume", "--out", out, "--steps", 9)
    assert yaml.safe_load(resumed.out)["train"]["steps"] == 9
    assert spf("config", "show", "--resume").fails_with("--out RUN")


def test_a_run_begins_with_another_runs_weights(
    spf, data: Path, run: Path, tiny: list[str], tmp_path: Path
) -> None:
    args = ("train", "--data", data, "--steps", 1, "--start-from", run, *tiny)
    done = spf(*args, "--preset", "lora", "--out", tmp_path / "next")
    assert done.code == 0, done.err
    saved = yaml.safe_load((tmp_path / "next" / "config.yaml").read_text())
    assert saved["train"]["start_from"] == str(run)
    other = spf(*args, "--preset", "naive", "--out", tmp_path / "other")
    assert other.fails_with("train.start_from", "adapter.name='lora-adapter'", "'full-unet' here")
    args = ("train", "--data", data, "--preset", "lora", *tiny, "--out", tmp_path / "other")
    assert spf(*args, "--start-from", data).fails_with(str(data.name), "is not a run folder")
    (tmp_path / "next" / ADAPTER_FILE).unlink()
    assert spf(*args, "--start-from", tmp_path / "next").fails_with("next' did not finish", ADAPTER_FILE)
    assert not (tmp_path / "other").exists()


def test_a_loss_from_a_file_trains_and_its_run_can_be_opened(
    spf, data: Path, tiny: list[str], plugin_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    args = ("--data", data, "--preset", "lora", "--out", out, "--steps", 1, "--plugin", plugin_file)
    trained = spf("train", *args, *tiny)
    assert trained.code == 0, trained.err
    assert " pull " in trained.err
    sampled = spf("sample", out, "--prompt", "an old man", "--seeds", 1, "--out", tmp_path / "g.png")
    assert sampled.code == 0, sampled.err


def test_captions_beyond_the_encoder_are_counted_in_one_warning(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    row = {"file_name": "0.png", "base_text": "an old man " * 40, "target_text": "wearing a hat"}
    with (folder / "metadata.jsonl").open("a") as metadata:
        metadata.write("\n" + json.dumps(row))
    args = ("--data", folder, "--preset", "lora", "--out", tmp_path / "run", "--steps", 1)
    warned = [line for line in spf("train", *args, *tiny).err.splitlines() if " captions exceed" in line]
    assert len(warned) == 1
    assert "1 of 5 captions exceed the 77 tokens" in warned[0]


def test_resume_needs_only_the_run_and_keeps_a_finished_one(spf, run: Path) -> None:
    before = read_safetensors(run / ADAPTER_FILE)[0]
    resumed = spf("train", "--out", run, "--resume")
    assert resumed.code == 0, resumed.err
    after = read_safetensors(run / ADAPTER_FILE)[0]
    assert all((before[name] == after[name]).all() for name in before)


def test_resume_without_a_run_is_one_line(spf, tmp_path: Path) -> None:
    assert spf("train", "--out", tmp_path / "run", "--resume").fails_with("is not a run folder")


def test_without_a_name_a_run_gets_a_free_one(
    spf, data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("train", "--data", data, "--preset", "lora", "--steps", 1, *tiny)
    assert spf(*command, "--dry-run").code == 0
    assert list(tmp_path.iterdir()) == []
    for expected in (f"{data.name}-lora", f"{data.name}-lora-2"):
        done = spf(*command)
        assert done.code == 0, done.err
        assert f"trained 1 steps: runs/{expected}" in done.out
        assert (tmp_path / "runs" / expected / "adapter.safetensors").is_file()
    assert spf("train", "--resume").fails_with("--resume continues a run; name its folder with --out RUN")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert spf(*command).fails_with("several processes train one run; name its folder with --out RUN")


def test_a_filled_output_folder_is_left_alone(spf, run: Path, data: Path) -> None:
    before = sorted(file.name for file in run.iterdir())
    assert spf("train", "--data", data, "--out", run).fails_with("not empty", "--resume")
    assert sorted(file.name for file in run.iterdir()) == before


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["train", "dry run"])
def test_bad_data_stops_before_anything_is_written(
    spf, tiny: list[str], tmp_path: Path, dry: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    assert spf("train", "--out", out, *tiny, *dry).fails_with("--data DIR")
    missing = tmp_path / "none"
    assert spf("train", "--data", missing, "--out", out, *tiny, *dry).fails_with(
        str(missing), "does not exist"
    )
    assert not out.exists()


def test_sampled_rows_are_labelled_and_texts_and_seeds_are_in_the_picture(
    spf, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grid.png"
    args = ("--prompt", "an old man", "--target", "wearing a hat", "--seeds", 2, "--first-seed", 3)
    sampled = spf("sample", run, *args, "--compare", "--out", out)
    assert sampled.code == 0, sampled.err
    with Image.open(out) as picture:
        assert picture.text == {
            "prompt": "an old man",
            "target": "wearing a hat",
            "seeds": "3 4",
            "strength": "1",
            "run": run.name,
        }
    assert [line.split(" 2/2")[0] for line in sampled.err.splitlines()] == [
        "original",
        "original + target",
        "tuned + target",
    ]


def test_strength_zero_draws_the_original_exactly(spf, run: Path, tmp_path: Path) -> None:
    from spf.loading import run_config
    from spf.sampling import grid_rows
    from spf_core.runs.run import open_run
    from spf_core.utils.progress import silent
    from spf_core.utils.prompts import Prompt

    opened = open_run(run, run_config(run)[1], device="cpu")
    for parameter in opened.adapter.parameters():
        parameter.data += 0.1
    text, options = Prompt("an old man"), opened.config.sample

    def draw(strength: float) -> list[np.ndarray]:
        rows = grid_rows(opened, text, [0, 1], strength, options, compare=True, progress=silent)
        return [np.stack([np.asarray(image) for image in images]) for images in rows.values()]

    original, same = draw(0.0)
    assert (original == same).all()
    original, tuned = draw(1.0)
    assert (original != tuned).any()


def test_an_existing_picture_is_replaced_only_on_request(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    out.write_text("mine")
    args = ("sample", run, "--prompt", "an old man", "--seeds", 1, "--out", out)
    assert spf(*args).fails_with(str(out), "--overwrite")
    assert out.read_text() == "mine"
    assert spf(*args, "--overwrite").code == 0
    with Image.open(out) as picture:
        picture.verify()


def test_sampling_refuses_what_it_cannot_draw(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    assert spf("sample", run, "--prompt", " ", "--out", out).fails_with("--prompt is empty")
    assert spf("sample", run, "--prompt", "a", "--out", tmp_path).fails_with("is a folder")
    assert spf("sample", tmp_path, "--prompt", "a", "--out", out).fails_with("is not a run folder")
    assert spf("sample", run, "--prompt", "a", "--out", out, "--device", "tpu").fails_with("'tpu'")
    assert not out.exists()


def test_a_damaged_weights_file_is_one_line(spf, run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    (broken / ADAPTER_FILE).write_bytes((broken / ADAPTER_FILE).read_bytes()[:100])
    out = tmp_path / "grid.png"
    assert spf("sample", broken, "--prompt", "a", "--out", out).fails_with(ADAPTER_FILE, "damaged")
    assert spf("evaluate", broken, "--out", tmp_path / "results").fails_with(ADAPTER_FILE, "damaged")


def test_evaluation_refuses_a_filled_folder_and_an_unknown_suite(spf, run: Path, tmp_path: Path) -> None:
    assert spf("evaluate", run, "--out", run).fails_with("not empty")
    out = tmp_path / "results"
    assert spf("evaluate", run, "--out", out, "--suite", "portrait").fails_with("Did you mean 'portraits'?")
    assert not out.exists()


def test_more_sampler_steps_than_the_model_has_timesteps_are_refused_before_training(
    spf, data: Path, run: Path, tiny: list[str], tmp_path: Path
) -> None:
    args = ("train", "--data", data, "--preset", "lora", "--out", tmp_path / "run", *tiny)
    refused = spf(*args, "--set", "sample.steps=1001")
    assert refused.fails_with("sample.steps=1001", "1000 timesteps", "set it to 1000 or less")
    assert "encoding" not in refused.err
    drawn = ("sample", run, "--prompt", "x", "--out", tmp_path / "grid.png", "--steps", 1001)
    assert spf(*drawn).fails_with("sample.steps=1001")


def test_pictures_that_are_not_numbers_are_refused_and_do_not_end_a_training(
    spf, data: Path, run: Path, tiny: list[str], tmp_path: Path
) -> None:
    drawn = ("sample", run, "--prompt", "x", "--out", tmp_path / "grid.png", "--steps", 1)
    assert spf(*drawn, "--guidance", 1e39).fails_with("NaN or infinite", "sample.guidance=1e+39", "set")
    assert not (tmp_path / "grid.png").exists()
    args = ("train", "--data", data, "--preset", "lora", "--out", tmp_path / "run", *tiny, "--steps", 1)
    wild = ("sample.every=1", "sample.steps=1", "sample.guidance=1e39")
    trained = spf(*args, *(part for setting in wild for part in ("--set", setting)))
    assert trained.code == 0, trained.err
    assert "step 1 has no sample grid" in trained.err


def test_a_run_that_cannot_begin_names_no_folder(spf, tiny: list[str], tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    shown = spf("train", "--preset", "lora", "--data", missing, "--out", tmp_path / "run", *tiny)
    assert (shown.code, shown.out) == (2, "")
    shown = spf("train", "--data", missing, "--profile", "9gb")
    assert "Value error" not in shown.err
    assert "'9gb' is not one of '8gb'" in shown.err
