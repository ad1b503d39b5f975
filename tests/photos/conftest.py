"""Runs of tiny random SD1.5 and SDXL on photographs, which no suite recognises, through the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Outcome, Spf
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "evaluation"))  # for the tiny networks of scores


@pytest.fixture(autouse=True)
def _no_weights_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPF_METRICS_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten dark pictures, which the tiny CLIP tells from what a random model draws."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    rows = []
    for number in range(10):
        shades = rng.integers(0, 60, 3) + rng.integers(0, 8, (40, 32, 3))
        Image.fromarray(shades.astype(np.uint8)).save(folder / f"{number}.png")
        row = {"file_name": f"{number}.png", "base_text": "an old man", "target_text": "wearing a hat"}
        rows.append(row)
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(
    spf: Spf, photos: Path, tiny_folder: Path, tiny_xl_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A run of two steps by name of the backbone."""
    runs = {}
    for backbone, folder in (("sd15", tiny_folder), ("sdxl", tiny_xl_folder)):
        runs[backbone] = tmp_path_factory.mktemp("runs") / backbone
        short = ("train.batch_size=2", "train.device=cpu", "sample.steps=2", "optimizer.learning_rate=0.05")
        sets = [part for each in (f"backbone.path={folder}", *short) for part in ("--set", each)]
        options = ("--preset", "lora", "--backbone", backbone, "--data", photos, "--steps", 2)
        done = spf("train", *options, *sets, "--out", runs[backbone])
        assert done.code == 0, done.err
    return runs


@pytest.fixture(scope="session")
def home(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random networks for every judge, under the names that the suite looks for."""
    from score_models import arcface_file, clip_folder, dino_folder, parser_folder, siglip_folder

    home = tmp_path_factory.mktemp("home")
    clip_folder(home / "clip", tiny_folder)
    siglip_folder(home / "siglip", tiny_folder)
    dino_folder(home / "dinov2")
    parser_folder(home / "face-parsing")
    arcface_file(home / "arcface.safetensors")
    return home


@pytest.fixture
def evaluate(spf: Spf, trained: dict[str, Path], tmp_path: Path) -> Callable[..., tuple[Outcome, Any]]:
    """Evaluate a run on two prompts; what was said, and what results.json holds."""

    def run(*more: object, backbone: str = "sd15", prompts: object = 2) -> tuple[Outcome, Any]:
        out = tmp_path / "evaluation"
        few = ("--prompts", prompts, "--seeds", 1, "--device", "cpu", "--keep", 1)
        done = spf("evaluate", trained[backbone], "--out", out, *few, *more)
        file = out / "results.json"
        return done, json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    return run
