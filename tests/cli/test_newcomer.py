"""A newcomer's walk: write a package, install it, run its tests and its CI file, check it, train with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import yaml
from command_line import Spf

from spf_cli.plugins.kinds import NEW_KINDS

ROOT = Path(__file__).parents[2]
MINI = ROOT / "plugins" / "spf_portraits" / "weights" / "mini"
# What a run on `mini` with the component is given besides.
WALKS = {
    "loss": ["--plugin", "my-loss"],
    "control-map": ["--plugin", "my-control-map"],
    "adapter": ["--plugin", "my-adapter"],
    "backbone": ["--backbone", "my-backbone", "--set", f"backbone.path={MINI}"],
    "metric": [],  # training asks none
}
pytestmark = pytest.mark.slow


def run(*command: object, **environment: str) -> str:
    started = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{time.perf_counter() - started:6.1f} s  {' '.join(map(str, command))[-100:]}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(spf: Spf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of every kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in NEW_KINDS:
        assert spf("plugins", "new", kind, f"my-{kind}", "--out", folder / kind).code == 0
    return folder


@pytest.fixture(scope="module")
def python(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees the packages of this one, and has those of the walk installed."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    site = next((venv / "lib").glob("python*")) / "site-packages"
    here = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "cli"), sysconfig.get_path("purelib")]
    (site / "here.pth").write_text("\n".join(here), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index"]
    for kind in WALKS:
        run(*pip, "--no-deps", "--no-build-isolation", "-e", packages / kind, PYTHONPATH="")
    return python


@pytest.fixture(scope="module")
def hats(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "hats"
    data = ["data", "portraits", "--target", "hat", "--count", "8", "--seed", "0", "--out", folder]
    run(python, "-m", "spf_cli", *data, PYTHONPATH="")
    return folder


@pytest.mark.parametrize("kind", WALKS)
def test_an_installed_package_is_checked_and_trains_on_mini(
    python: Path, hats: Path, tmp_path: Path, kind: str
) -> None:
    spf = [python, "-m", "spf_cli"]
    shown = run(*spf, "plugins", "show", f"my-{kind}", PYTHONPATH="")
    assert f"spf-my-{kind} 0.1.0" in shown
    assert "failed" not in run(*spf, "plugins", "check", f"my-{kind}", PYTHONPATH="")
    if WALKS[kind]:
        # The default preset would first draw pictures of its own, which takes minutes.
        paper = ["--preset", "spf-paper", "--set", "sample.every=0"]
        train = ["train", "--data", hats, "--steps", "5", "--out", tmp_path / "run", *paper, *WALKS[kind]]
        run(*spf, *train, PYTHONPATH="")
        assert len((tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 5


def test_the_tests_of_every_package_pass(packages: Path) -> None:
    path = os.pathsep.join([*(str(packages / kind) for kind in NEW_KINDS), *filter(None, sys.path)])
    tests = [packages / kind / "tests" for kind in NEW_KINDS]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", packages]
    run(sys.executable, "-m", "pytest", *options, *tests, PYTHONPATH=path)


def test_every_package_passes_strict_mypy(packages: Path, tmp_path: Path) -> None:
    modules = [f"spf_my_{kind.replace('-', '_')}" for kind in NEW_KINDS]
    for kind, module in zip(NEW_KINDS, modules, strict=True):
        (tmp_path / module).symlink_to(packages / kind / module)
    config = ["--config-file", packages / "loss" / "pyproject.toml", "--cache-dir", tmp_path / "cache"]
    chosen = [word for module in modules for word in ("-p", module)]
    path = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "plugins"), str(ROOT / "cli")])
    run(sys.executable, "-m", "mypy", "--explicit-package-bases", *config, *chosen, MYPYPATH=path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a package index would give for `spf`."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, ROOT, PYTHONPATH="")
    (found,) = folder.glob("spf-*.whl")
    return found


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with pip, whose index has been asked for all that this one has but spf."""
    venv, libraries = tmp_path_factory.mktemp("runner"), tmp_path_factory.mktemp("libraries")
    run(sys.executable, "-m", "venv", venv)
    run(
        venv / "bin" / "python", "-m", "pip", "uninstall", "--yes", "setuptools"
    )  # Python 3.11 brings an old one
    for place in Path(pytest.__file__).parents[1].iterdir():
        if not place.name.startswith(("spf-", "pip")) and place.suffix != ".pth":
            (libraries / place.name).symlink_to(place)
    site = next((venv / "lib").glob("python*")) / "site-packages"
    (site / "libraries.pth").write_text(str(libraries), encoding="utf-8")
    for tool in ("mypy", "pytest"):
        script = venv / "bin" / tool
        script.write_text(f'#!/bin/sh\nexec "{venv}/bin/python" -m {tool} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    shutil.copy(Path(sysconfig.get_path("scripts")) / "ruff", venv / "bin")
    return venv


@pytest.mark.parametrize("kind", ["loss", "metric", "command"])
def test_the_steps_of_a_packages_ci_file_pass(packages: Path, wheel: Path, runner: Path, kind: str) -> None:
    folder = packages / kind
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = [step for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    assert len(steps) >= 5
    path = os.pathsep.join([str(runner / "bin"), "/usr/bin", "/bin"])
    # All that the steps ask of an index is there already; pip then builds with this hatchling, too.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": "", "PATH": path}
    offline["MYPY_CACHE_DIR"] = str(runner / "mypy")  # for all kinds: to read torch takes minutes
    for step in steps:
        given = {
            name: value.replace("${{ vars.SPF }}", str(wheel)) for name, value in step.get("env", {}).items()
        }
        assert "${{" not in step["run"] + "".join(given.values())
        run("bash", "-e", "-c", f"cd '{folder}' && {step['run']}", **offline, **given)
    installed = run(
        runner / "bin" / "python", "-P", "-c", "import spf_core; print(spf_core.__file__)", **offline
    )
    assert str(runner) in installed, "the steps used the wheel"
