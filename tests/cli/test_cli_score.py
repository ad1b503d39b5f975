"""`spf score`: a run's exported files have the very numbers of the run; what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pages import results, shown
from safetensors.torch import save_file

SHORT = ("--prompts", 2, "--seeds", 1, "--set", "sample.steps=2")
GLASSES = ("--backbone", "mini", "--suite", "portraits", "--target", "sunglasses")
OF_A_FILE = {"adapter_hash", "preset", "seconds"}


def done(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture(scope="module")
def made(spf, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of `lora` and of `naive` on the small model, exported and evaluated."""
    folder = tmp_path_factory.mktemp("made")
    data = folder / "data"
    done(
        spf(
            "data",
            "portraits",
            "--target",
            "sunglasses",
            "--count",
            4,
            "--bias",
            "background=teal",
            "--out",
            data,
        )
    )
    options = (
        "--steps",
        3,
        "--set",
        "train.batch_size=2",
        "--set",
        "sample.steps=2",
        "--set",
        "sample.every=0",
    )
    for preset, rate in (("lora", 0.02), ("naive", 0.001)):
        run = folder / preset
        rates = ("--set", f"optimizer.learning_rate={rate}", "--set", "train.device=cpu")
        done(spf("train", "--data", data, "--preset", preset, "--out", run, *options, *rates))
        done(spf("evaluate", run, *SHORT[:4], "--out", folder / f"{preset}-evaluation"))
    done(spf("export", folder / "lora", "--format", "kohya", "--out", folder / "one.safetensors"))
    done(spf("export", folder / "lora", "--format", "diffusers", "--out", folder / "two"))
    done(spf("export", folder / "naive", "--format", "checkpoint", "--out", folder / "whole.safetensors"))
    return folder


def same(evaluated: Path, scored: Path) -> None:
    """Every number, to the last digit; what made the weights may differ."""
    one, two = results(evaluated), results(scored)
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} <= OF_A_FILE
    assert (evaluated / "pairs.jsonl").read_text() == (scored / "pairs.jsonl").read_text()


def test_files_have_the_very_numbers_of_the_run(spf, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored"
    files = (made / "one.safetensors", made / "two" / "pytorch_lora_weights.safetensors", made / "lora")
    told = done(spf("score", *files, *GLASSES, *SHORT, "--data", made / "data", "--out", out))
    for name in ("one", "two", "lora"):
        same(made / "lora-evaluation", out / name)
        assert name in told.out
    assert shown(results(made / "lora-evaluation")["sps"]) in told.out


def test_whole_models_have_the_very_numbers_of_the_run(spf, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored"
    files = (made / "whole.safetensors",)
    done(spf("score", *files, *GLASSES, *SHORT, "--data", made / "data", "--out", out))
    same(made / "naive-evaluation", out / "whole")


def test_without_the_training_images_only_their_bias_is_missing(spf, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored"
    done(
        spf("score", made / "one.safetensors", "--backbone", "mini", *SHORT, "--out", out)
    )  # the file names its target
    one, two = results(made / "lora-evaluation"), results(out / "one")
    assert {name for name in one if one[name] != two[name]} <= {*OF_A_FILE, "bias_rise", "training_bias"}
    assert two["bias_rise"] == {}


def test_refusals(spf, made: Path, tmp_path: Path) -> None:
    file, out = made / "one.safetensors", ("--out", tmp_path / "out")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"lora_unet_no_layer.lora_down.weight": torch.ones(1, 2)}, foreign)
    assert spf("score", file, *out).fails_with("--backbone")
    assert spf("score", foreign, "--backbone", "mini", *out).fails_with("--target")
    assert spf("score", foreign, *GLASSES, *out).fails_with("foreign.safetensors", "holds no LoRA")
    assert spf("score", tmp_path / "none.safetensors", *GLASSES, *out).fails_with("does not exist")
    assert spf("score", file, "--backbone", "mini", "--target", "sunglases", *out).fails_with(
        "Did you mean 'sunglasses'"
    )
    assert spf("score", file, "--backbone", "mino", *out).fails_with("Did you mean 'mini'")
    assert spf("score", file, *GLASSES, "--data", tmp_path / "no", *out).fails_with(
        "--data", "no such folder"
    )
    assert spf("score", file, *GLASSES, "--out", made).fails_with("not empty")
    assert not (tmp_path / "out").exists()


def test_files_are_read_and_never_trained(spf, made: Path, tmp_path: Path) -> None:
    options = ("--plugin", "lora-file", "--set", f"adapter.path={made / 'one.safetensors'}")
    trained = spf("train", "--data", made / "data", *options, "--steps", 1, "--out", tmp_path / "run")
    assert trained.fails_with("'lora-file'", "trains none")
