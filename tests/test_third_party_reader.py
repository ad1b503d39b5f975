"""A package with a data reader, made by `spf plugins new` and installed, is checked and trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

NAME, PACKAGE = "listed-captions", "spf-listed-captions"


def spf(*arguments: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    places = [*([str(site)] if site else []), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "COLUMNS": "200"}
    command = [sys.executable, "-m", "spf_cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the installed package; no network is used."""
    folder = tmp_path_factory.mktemp("site")
    package = tmp_path_factory.mktemp("package") / "new"
    made = spf("plugins", "new", "data-reader", NAME, "--out", str(package))
    assert made.returncode == 0, made.stderr
    flags = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(package)], check=True)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = []
    for number in range(4):
        Image.effect_noise((32, 32), 50).convert("RGB").save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": f"man {number}, wearing a hat"})
    (folder / f"{NAME}.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def test_its_data_is_checked(site: Path, photos: Path) -> None:
    trigger = ("--trigger", "wearing a hat")
    checked = spf("data", "check", str(photos), *trigger, "--json", site=site)
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert [row["base_text"] for row in found["rows"]] == [f"man {number}" for number in range(4)]
    assert found["warnings"] == []
    (photos / "2.png").unlink()
    checked = spf("data", "check", str(photos), *trigger, "--set", f"reader={NAME}", site=site)
    assert checked.returncode == 2
    assert f"{NAME}.json, entry 2: image" in checked.stderr
    assert f"data-reader '{NAME}' of plugin '{PACKAGE}' 0.1.0" in checked.stderr


def test_a_run_records_it_and_goes_on_with_it(
    site: Path, photos: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    run = str(tmp_path / "run")
    settings = [f"backbone.path={tiny_folder}", "train.batch_size=2"]
    options = ["--preset", "lora", "--steps", "1", *(word for item in settings for word in ("--set", item))]
    data = ["--data", str(photos), "--trigger", "wearing a hat"]
    trained = spf("train", *data, "--out", run, *options, site=site)
    assert trained.returncode == 0, trained.stderr
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert config["reader"] == {"name": NAME, "table": f"{NAME}.json"}
    record = json.loads((tmp_path / "run" / "provenance.json").read_text(encoding="utf-8"))
    (used,) = [each for each in record["plugins"] if each["kind"] == "data-reader"]
    assert (used["name"], used["provider"], used["version"]) == (NAME, PACKAGE, "0.1.0")
    without = spf("train", "--resume", "--out", run, "--steps", "2")
    assert without.returncode == 2
    assert f"the data-reader '{NAME}' of the package '{PACKAGE}' 0.1.0" in without.stderr
    resumed = spf("train", "--resume", "--out", run, "--steps", "2", site=site)
    assert resumed.returncode == 0, resumed.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2
