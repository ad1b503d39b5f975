"""The package in docs/examples, installed as a stranger would, is found, shown and trained with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "spf-edge-loss"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the installed package; no network is used."""
    folder = tmp_path_factory.mktemp("site")
    flags = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(EXAMPLE)], check=True)
    return folder


def spf(site: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    command = [sys.executable, "-m", "spf_cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_data(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    rows = []
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "base_text": "an old man", "target_text": "wearing a hat"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def test_the_installed_package_is_listed_with_its_provider(site: Path) -> None:
    (line,) = [line for line in spf(site, "plugins", "list").splitlines() if "edge-alignment" in line]
    assert "spf-edge-loss 0.1.0" in line


def test_its_options_are_shown_with_type_default_and_range(site: Path) -> None:
    shown = spf(site, "plugins", "show", "edge-alignment")
    (line,) = [line for line in shown.splitlines() if "max_timestep" in line]
    assert all(part in line for part in ("float", "0.6", "> 0", "≤ 1", "only rows with t below"))


def test_a_run_trains_with_it(site: Path, tiny_folder: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    write_data(data)
    settings = [f"backbone.path={tiny_folder}", "train.batch_size=2", "losses.edge-alignment.max_timestep=1"]
    options = [
        "--plugin",
        "edge-alignment",
        "--steps",
        "2",
        *(word for item in settings for word in ("--set", item)),
    ]
    spf(site, "train", "--data", str(data), "--out", str(run), *options)
    first, second = (
        json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert first["terms"]["edge-alignment"]["raw"] > 0
    assert second["terms"]["edge-alignment"]["weighted"] > 0
    assert (run / "adapter.safetensors").is_file()
