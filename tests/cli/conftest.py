"""The command line run in-process, a small data folder and a plugin file."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import Finished, small_settings
from hats import write_hats
from installing import PLUGIN_FILES


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell's background job ignores Ctrl-C, and so would every process that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def plugin_file() -> Path:
    """The loss `pull` and the control map `everywhere`."""
    return PLUGIN_FILES / "pull.py"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows, all on the target "wearing a hat"."""
    return write_hats(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> list[str]:
    """Options that put the tiny random model in the place of `mini` and keep everything short."""
    settings = (f"backbone.path={tiny_folder}", "train.batch_size=2", "train.device=cpu", "sample.steps=2")
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture(autouse=True)
def piped_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test runners set COLUMNS for their own output; a user's pipe does not."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def settings(tiny: list[str]) -> dict[str, Any]:
    """Of a benchmark: two presets, one target, two training seeds."""
    return small_settings(tiny)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """The folder of the module's benchmark or continual protocol, to be changed."""
    return shutil.copytree(finished.out, tmp_path / "out")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images of the original model are kept for the module alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
