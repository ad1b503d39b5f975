"""Sound input that is read with a model or as one: run folders, weights, evaluations, a model's files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from fuzzing.specimens import HAT, Specimen, done

from spf_core.testing.tiny_models import random_folder, tiny_pipeline


def costly_specimens(home: Path) -> Iterator[Specimen]:
    """What is read with a model; `cheap_specimens` of the same home come first."""
    model, folder = random_folder(tiny_pipeline, home / "model"), home / "runs"
    data = home / "world"
    done("data", "portraits", "--target", "hat", "--count", "4", "--out", str(data))
    short: list[str] = ["--set", f"backbone.path={model}"]
    for setting in (
        "train.batch_size=2",
        "train.device=cpu",
        "sample.steps=2",
        "sample.every=0",
        "checkpoint.every=1",
    ):
        short += ["--set", setting]
    train = ("train", "--data", str(data), "--backbone", "sd15", "--preset", "lora", *short, "--steps")
    run, text = folder / "run", ("--prompt", "a young man", "--target", "wearing a hat")
    done(*train, "2", "--out", str(run))
    done("evaluate", str(run), "--prompts", "2", "--seeds", "1", "--out", str(run / "evaluation"))
    shutil.copytree(run, home / "half" / "run")
    (home / "half" / "run" / "adapter.safetensors").unlink()
    shutil.rmtree(home / "half" / "run" / "checkpoints" / "step-000002")
    shutil.rmtree(home / "half" / "run" / "evaluation")

    stated = ("run/config.yaml", "run/provenance.json", "run/metrics.jsonl", "run/adapter.safetensors")
    new = ("--out", "{out}")
    quick = ("--seeds", "1", "--steps", "1")
    sample = ("sample", "{in}/run", *text, *quick, *new)
    opened = (sample, ("export", "{in}/run", *new), ("export", "{in}/run", "--format", "diffusers", *new),
              ("report", "{in}/run", *new))  # fmt: skip
    started = (*train, "1", "--start-from", "{in}/run", *new)
    yield Specimen(
        "a run folder", folder, (*stated, "run/adapter.safetensors"), (*opened, opened[1], started), 4
    )

    told = ("run/evaluation/results.json", "run/evaluation/pairs.jsonl", "run/evaluation/images/*")
    card = ("export", "{in}/run", "--format", "diffusers", "--evaluation", "{in}/run/evaluation", *new)
    yield Specimen("an evaluation", folder, told, (("report", "{in}/run", *new), card), 3)

    going_on = (("train", "--resume", "--out", "{in}/run"),)
    state = (
        "run/checkpoints/*/*",
        "run/checkpoints/*/state.json",
        "run/metrics.jsonl",
        "run/provenance.json",
    )
    yield Specimen("a checkpoint", home / "half", state, going_on, 3, ("run/*",))

    lora = home / "lora"
    lora.mkdir()
    shutil.copy(run / "run.safetensors", lora / "hat.safetensors")
    checked = ("export", "--check", "{in}/hat.safetensors")
    yield Specimen("a LoRA file", lora, ("hat.safetensors",), (checked,), 6, codes=frozenset({0, 1, 2}))

    whole = home / "whole"
    shutil.copytree(model, whole / "model")
    shutil.copytree(run, whole / "run", ignore=shutil.ignore_patterns("evaluation", "checkpoints"))
    _say_elsewhere(whole / "run" / "config.yaml", model, whole / "model")
    look = ("doctor", "--backbone", "sd15", "--set", "backbone.path={in}/model")
    known = ("data", "check", str(data), "--backbone", "sd15")
    files = ("model/*.json", "model/*/*.json", "model/*/*.json", "model/*/*.safetensors")
    drawn = ("sample", "{in}/run", *text, *quick, *new)
    yield Specimen("a model folder", whole, files, (drawn, drawn, look, known), 4, codes=frozenset({0, 1, 2}))

    pull = home / "plugin"
    trained = (*train, "1", "--plugin", "{in}/pull.py", *new)
    yield Specimen("a plugin in training", pull, ("pull.py",), (trained,), 2)
    pictures = (*train[:2], "{in}", *train[3:], "1", *HAT, *new)
    yield Specimen("captions in training", home / "captions", ("*",), (pictures,), 1)
    tables = (*train[:2], "{in}", *train[3:], "1", *new)
    yield Specimen("rows in training", home / "jsonl", ("metadata.jsonl", "*.png"), (tables,), 1)


def _say_elsewhere(file: Path, old: Path, new: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace(str(old), str(new)), encoding="utf-8")
