"""Small trained runs of every kind of adapter, on tiny models of both architectures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_trainer import FAST, noise_folder

from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import Plugins
from spf_core.training.trainer import train

MakeRun = Callable[..., Path]
STRONG = (
    "optimizer.learning_rate=0.05",
    "optimizer.clip_norm=100",
)  # so that every strength can be told apart


@pytest.fixture(scope="session")
def make_run(
    plugins: Plugins, tiny_folder: Path, tiny_xl_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> MakeRun:
    """A finished run of preset `lora` on `sd15` or `sdxl`; each is trained once for the session."""
    data = noise_folder(tmp_path_factory.mktemp("data"))
    made: dict[Any, Path] = {}

    def make(backbone: str = "sd15", *assignments: str, name: str = "hat", steps: int = 2) -> Path:
        key = (backbone, assignments, name, steps)
        if key not in made:
            run = tmp_path_factory.mktemp("runs") / name
            path = tiny_xl_folder if backbone == "sdxl" else tiny_folder
            config = load_run_config(
                plugins,
                preset="lora",
                backbone=backbone,
                overrides={"data": str(data), "train": {"steps": steps}},
                assignments=[f"backbone.path={path}", *FAST, *STRONG, *assignments],
            )
            train(config, run, plugins)
            made[key] = run
        return made[key]

    return make
