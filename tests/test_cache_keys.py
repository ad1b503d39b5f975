"""A valid entry of the cache that lies under a wrong key is not believed, but made again."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from spf_core.evaluation.originals import original_images
from spf_core.kept import kept
from spf_core.sections import SampleSection
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

        return float(kept("texts", loaded_backbone, {"number": number}, {}, make)["x"][0])

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
    from spf_core.data.hugging_face import _kept

    Image.new("RGB", (4, 4), "red").save(cache.parent / "red.png")
    content = (cache.parent / "red.png").read_bytes()
    file = _kept(content, ".png")
    file.write_bytes(bytes(len(content)))
    assert _kept(content, ".png").read_bytes() == content
