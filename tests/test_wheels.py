"""spf and both example packages, built and installed outside of the checkout, do what they do inside."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clean_environment import EXAMPLES, ROOT, Environment, built, clean_environment
from PIL import Image

from spf_core import __version__

pytestmark = pytest.mark.slow
PACKAGES = ("spf", "spf_core", "spf_plugins", "spf_lab", "spf_portraits", "spf_photos", "spf_cli")
ROOTS = (ROOT, ROOT / "plugins", ROOT / "cli")


def write_data(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    rows = []
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "base_text": "an old man", "target_text": "wearing a hat"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Those of spf and of both examples."""
    return built(tmp_path_factory.mktemp("wheels"), ROOT, *EXAMPLES)


@pytest.fixture(scope="module")
def clean(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheels, which pip installs only if what they require is there."""
    made = clean_environment(tmp_path_factory.mktemp("clean"))
    made.install(*wheels)
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    """Each file of a wheel; the list with their hashes is left out, as its order is free."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


def test_a_wheel_has_every_file_of_the_packages_and_nothing_else(wheels: list[Path]) -> None:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    places = [file.relative_to(root) for root in ROOTS for file in files if file.is_relative_to(root)]
    expected = {str(place) for place in places if place.parts[0] in PACKAGES}
    found = contents(wheels[0])
    assert {name for name in found if ".dist-info/" not in name} == expected
    assert {name.rpartition("/")[2] for name in found if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_source_distribution_makes_the_same_wheel(wheels: list[Path], tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    (again,) = built(tmp_path / "again", sdist)
    first, second = contents(wheels[0]), contents(again)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_extras_that_the_tests_need_can_be_installed(clean: Environment, wheels: list[Path]) -> None:
    """All they name is in the environment already, so that pip has nothing to fetch."""
    clean.install(f"{wheels[0]}[dev,datasets,optimizers]", "--dry-run")


def test_options_are_shown_with_type_default_and_range(clean: Environment) -> None:
    shown = clean.spf("plugins", "show", "edge-alignment")
    (line,) = [line for line in shown.splitlines() if "max_timestep" in line]
    assert all(part in line for part in ("float", "0.6", "> 0", "≤ 1", "only rows with t below"))


def test_everything_is_imported_from_the_environment(clean: Environment) -> None:
    modules = ", ".join([*PACKAGES, "spf_edge_loss", "spf_otsu_region"])
    places = clean.run("python", "-c", f"import {modules}\nfor each in ({modules}): print(each.__file__)")
    assert [place for place in places.splitlines() if not Path(place).is_relative_to(clean.site)] == []
    assert clean.spf("--version").split()[-1] == __version__


def test_the_packages_are_listed_with_provider_version_and_state(clean: Environment) -> None:
    listed = clean.spf("plugins", "list")
    for component, package in (
        ("edge-alignment", "spf-edge-loss"),
        ("otsu-region", "spf-otsu-region"),
        ("change-outside", "spf-otsu-region"),
    ):
        assert re.search(rf"(?m)^\S+ +{component} +.* {package} 0\.1\.0 *$", listed), component
        assert re.search(rf"(?m)^{package} +{package} +0\.1\.0 +loaded *$", listed), package
    assert re.search(rf"(?m)^\d+ of spf's own +spf +{re.escape(__version__)} +loaded *$", listed)
    assert "failed" not in listed


def test_a_component_passes_the_checks_that_train_nothing(clean: Environment) -> None:
    assert "failed" not in clean.spf("plugins", "check", "otsu-region", "--quick")


def run_tests(clean: Environment, folder: Path, *options: str) -> None:
    """Run copies of the packages' tests: nothing else of their folders is near."""
    for package in EXAMPLES:
        shutil.copytree(package / "tests", folder / "tests", dirs_exist_ok=True)
    clean.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "tests", cwd=folder)


def test_the_tests_of_the_packages_that_train_nothing_pass(clean: Environment, tmp_path: Path) -> None:
    run_tests(clean, tmp_path, "-k", "not contract and not command")


def test_mini_trains_with_both_packages(clean: Environment, tmp_path: Path) -> None:
    """The weights of `mini` come with the wheel."""
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    write_data(data)
    settings = ("train.batch_size=2", "losses.edge-alignment.max_timestep=1")
    chosen = ("--preset", "spf-paper", "--plugin", "edge-alignment", "--plugin", "otsu-region", "--steps", 2)
    given = [
        word for setting in (*settings, "control_map.grow=0", "sample.every=0") for word in ("--set", setting)
    ]
    clean.spf("train", "--data", data, "--out", run, *chosen, *given)
    provenance = (run / "provenance.json").read_text(encoding="utf-8")
    assert all(package in provenance for package in ("spf-edge-loss", "spf-otsu-region"))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[1]["terms"]["edge-alignment"]["weighted"] > 0
    assert 0 < lines[1]["map_mean"] < 1


def test_the_demo_runs_from_an_empty_folder(clean: Environment) -> None:
    short = ("--set", "sample.steps=2", "--set", "calibration.enabled=false")
    clean.spf("demo", "--steps", 2, "--prompts", 1, *short)
    page = (clean.place / "demo" / "report.html").read_text(encoding="utf-8")
    assert "embedded portraits" in page


@pytest.mark.parametrize("name", ["edge-alignment", "otsu-region", "change-outside"])
def test_the_components_pass_all_checks(clean: Environment, name: str) -> None:
    assert "failed" not in clean.spf("plugins", "check", name)


def test_all_tests_of_the_packages_pass(clean: Environment, tmp_path: Path) -> None:
    run_tests(clean, tmp_path)
