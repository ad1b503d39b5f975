"""What every test may ask for: the tiny models as folders and loaded, the plugins, a data folder, a cache."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from command_line import Spf, run_spf

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_plugins.backbones.stable_diffusion import StableDiffusion


@pytest.fixture(scope="session")
def spf() -> Spf:
    return run_spf


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What runs share is kept in a folder of the tests, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def folder_of(architecture: Literal["sd15", "sdxl", "sd3"]) -> Path:
    from spf_core.testing import tiny_folder as made  # only here: it imports torch, and many tests need none

    return made(architecture)


@pytest.fixture(scope="session")
def tiny_xl_folder() -> Path:
    """A random pipeline folder of SDXL's classes, otherwise like `tiny_folder`."""
    return folder_of("sdxl")


@pytest.fixture(scope="session")
def tiny_sd3_folder() -> Path:
    """A random pipeline folder of SD3's classes: 32 x 32 pixels, 8 x 8 latents, 4 x 4 patches."""
    return folder_of("sd3")


@pytest.fixture(scope="session")
def tiny_folder() -> Path:
    """A random pipeline folder: 32 x 32 pixels, 8 x 8 latents, cross-attention at 8 x 8 and 4 x 4."""
    return folder_of("sd15")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a package with one entry point of group `spf` on the path, as pip would."""
    site, modules = tmp_path / "site", list[str]()
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(name: str, source: str, entry_points: bytes | None = None, metadata: str = "") -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        info = site / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n{metadata}")
        (info / "entry_points.txt").write_bytes(entry_points or f"[spf]\n{name} = {module}\n".encode())

    yield put
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """Every component that is installed."""
    from spf_core.plugins.discovery import load_plugins

    return load_plugins()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rows whose images are noise."""
    from test_trainer import noise_folder

    return noise_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def loaded_backbone(tiny_folder: Path) -> StableDiffusion:
    """The folder loaded once; not to be changed."""
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    return StableDiffusion(tiny_folder)


@pytest.fixture
def tiny_backbone(loaded_backbone: StableDiffusion) -> StableDiffusion:
    """A copy of the loaded model, so that a test may attach adapters."""
    shared = loaded_backbone.tokenizer
    return copy.deepcopy(loaded_backbone, {id(shared): shared})
