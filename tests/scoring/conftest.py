"""The command line, and LoRA files of random factors for the tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPF_METRICS_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="session")
def files(tiny_folder: Path, tiny_xl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sd15.safetensors` and `sdxl.safetensors`, in kohya's keys."""
    from lora_files import backbone_of, flat, kohya, random_factors, written

    folder = tmp_path_factory.mktemp("files")
    for name, place in (("sd15", tiny_folder), ("sdxl", tiny_xl_folder)):
        two = name == "sdxl"
        tensors = kohya(random_factors(backbone_of(place)), lambda key, two=two: flat(key, two=two))
        written(folder / f"{name}.safetensors", tensors)
    return folder
