"""A run of the tiny backbone in the world of squares, registered the way any plugin is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from squares import Squares

from spf_core.config.loading import load_run_config
from spf_core.plugins import SuiteConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.run import OpenRun


class SquaresConfig(SuiteConfig):
    """Coloured squares."""

    name = "squares"

    def build(self) -> Squares:
        return Squares()


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    found = load_plugins()
    found.add(SquaresConfig, "tests", "0")
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return squares_folder(tmp_path / "data")


@pytest.fixture
def open_run(tiny_backbone, data: Path, plugins: Plugins, tmp_path: Path) -> OpenRun:
    return tuned_run(tiny_backbone, data, plugins, tmp_path)


@pytest.fixture(scope="module")
def shared_run(tiny_folder: Path, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory):
    """A run that the tests of a module only read, and its plugins; the originals are cached beside it."""
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE", str(folder / "cache"))
        data = squares_folder(folder / "data")
        yield tuned_run(StableDiffusion(tiny_folder), data, plugins, folder), plugins


def squares_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "squares.txt").write_text("blue", encoding="utf-8")
    return folder


def tuned_run(tiny_backbone, data: Path, plugins: Plugins, folder: Path) -> OpenRun:
    """A LoRA whose weights are far from zero, so that the tuned model differs."""
    sample = {"steps": 2, "guidance": 1.5, "batch_size": 8}
    config = load_run_config(plugins, preset="lora", overrides={"data": str(data), "sample": sample})
    adapter = config.adapter.build()
    adapter.attach(tiny_backbone)
    generator = torch.Generator().manual_seed(0)
    for parameter in adapter.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return OpenRun(folder, config, tiny_backbone, adapter, "0123456789abcdef")
