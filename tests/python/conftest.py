"""A small data folder, and a run on the tiny model that `spf train` and `spf.train` each made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hats import write_hats

if TYPE_CHECKING:
    import spf


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows, all on the target "wearing a hat"."""
    return write_hats(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def settings(tiny_folder: Path) -> dict[str, Any]:
    """The tiny random model in the place of `mini`, and everything short."""
    return {
        "backbone.path": tiny_folder,
        "train.batch_size": 2,
        "train.device": "cpu",
        "sample": {"steps": 2, "every": 2, "prompts": 2},
    }


@pytest.fixture(scope="session")
def assigned(settings: dict[str, Any]) -> list[str]:
    """The same settings for the command line."""
    return [part for name, value in settings.items() for part in ("--set", f"{name}={plain(value)}")]


def plain(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


@pytest.fixture(scope="session")
def trained(
    data: Path, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., spf.Run]:
    """Train from Python, into a new folder."""
    import spf

    def made(**options: Any) -> spf.Run:
        out = tmp_path_factory.mktemp("python") / "run"
        given = {"preset": "lora", "steps": 2, "settings": settings, "progress": False}
        return spf.train(data, out, **{**given, **options})

    return made


@pytest.fixture(scope="session")
def run(trained: Callable[..., spf.Run]) -> spf.Run:
    """A finished run of two steps."""
    return trained()
