"""A valid entry of the cache that lies under a wrong key, or that other code made, is made again."""

import importlib
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from spf_core.config.sections import SampleSection
from spf_core.runs.cache import cached, code_version, made_by
from spf_lab.evaluation.originals import original_images
from spf_plugins.backbones.stable_diffusion import StableDiffusion


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_of_tensors(cache: Path, loaded_backbone: StableDiffusion) -> None:
    made: list[int] = []

    def get(number: int) -> float:
        def make() -> dict[str, torch.Tensor]:
            made.append(number)
            return {"x": torch.full((2,), float(number))}

        return float(cached("texts", loaded_backbone, {"number": number}, {}, make)["x"][0])

    assert (get(1), get(1), made) == (1, 1, [1])
    (first,) = (cache / "texts").iterdir()
    aside = shutil.copy(first, cache / "aside")
    assert (get(2), made) == (2, [1, 2])
    (second,) = set((cache / "texts").iterdir()) - {first}
    shutil.copy(aside, second)
    assert (get(2), made) == (2, [1, 2, 2])
    assert (get(2), made) == (2, [1, 2, 2]), "the entry is whole again"


def test_of_pictures(cache: Path, loaded_backbone: StableDiffusion) -> None:
    def draw(seed: int) -> list[bytes]:
        images = original_images(loaded_backbone, ["a man", "a woman"], [seed, seed + 1], options)
        return [image.tobytes() for image in images]

    options = SampleSection(steps=1)
    one = draw(0)
    (first,) = (cache / "originals").iterdir()
    other = draw(7)
    (second,) = set((cache / "originals").iterdir()) - {first}
    for entry in (second / "00000.png", second / "00001.png"):
        shutil.copy(first / "00000.png", entry)
        assert draw(7) == other
    assert one != other
    assert draw(0) == one


def test_of_a_datasets_pictures(cache: Path) -> None:
    from spf_core.data import keep_image

    Image.new("RGB", (4, 4), "red").save(cache.parent / "red.png")
    content = (cache.parent / "red.png").read_bytes()
    file = keep_image(content, ".png")
    file.write_bytes(bytes(len(content)))
    assert keep_image(content, ".png").read_bytes() == content


def imported(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def draws_anew(backbone: StableDiffusion, cache: Path) -> bool:
    """Whether pictures and tensors are made, and kept beside those that other code made."""
    made: list[int] = []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.zeros(1)}

    before = len(list(cache.glob("originals/*")))
    original_images(backbone, ["a man"], [0], SampleSection(steps=1))
    cached("texts", backbone, {}, {}, make)
    after = len(list(cache.glob("originals/*")))
    assert after - before == len(made)
    return bool(made)


def test_of_another_source_of_a_backbone(
    cache: Path, tiny_backbone: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "my_backbone", ModuleType("my_backbone"))
    lines = [
        "from spf_plugins.backbones.stable_diffusion import StableDiffusion",
        "class Mine(StableDiffusion):",
        "    kernel = 1",
    ]
    file = tmp_path / "my_backbone.py"
    found = []
    for source in (lines, lines, [*lines[:-1], "    kernel = 1234567"]):
        file.write_text("\n".join(source) + "\n", encoding="utf-8")
        tiny_backbone.__class__ = imported(file, "my_backbone").Mine
        found.append(draws_anew(tiny_backbone, cache))
    assert found == [True, False, True]


@pytest.mark.parametrize("name", ["spf_core.sampling.sampler", "spf_plugins.backbones.stable_diffusion"])
def test_of_another_source_of_the_sampling(
    name: str,
    cache: Path,
    loaded_backbone: StableDiffusion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert draws_anew(loaded_backbone, cache)
    assert not draws_anew(loaded_backbone, cache)
    source = Path(str(importlib.import_module(name).__file__)).read_text(encoding="utf-8")
    changed = tmp_path / "changed.py"
    changed.write_text(f"{source}\n# as another version has it\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, name, sys.modules[name])
    imported(changed, name)
    code_version.cache_clear()
    try:
        assert draws_anew(loaded_backbone, cache)
    finally:
        code_version.cache_clear()


def test_of_a_source_that_cannot_be_read(
    loaded_backbone: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where only compiled files are installed: spf's version stands for it."""

    def unread(module: ModuleType) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr("inspect.getsource", unread)
    found = []
    try:
        for version in ("1.0", "1.0", "1.1"):
            monkeypatch.setattr("spf_core.runs.cache.__version__", version)
            code_version.cache_clear()
            found.append(made_by(loaded_backbone)["code"])
    finally:
        code_version.cache_clear()
    assert found[0] == found[1] != found[2]
