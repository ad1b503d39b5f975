"""An out-of-memory error in a step ends in one line that names settings that need less."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from installing import installed
from test_trainer import FAST, noise_folder

from spf_core.config.loading import load_run_config
from spf_core.errors import RunError
from spf_core.interfaces import StepState, Term
from spf_core.plugins import LossConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.checkpoint import checkpoints
from spf_core.training.trainer import train


class Hungry(LossConfig):
    """Asks for more memory than there is."""

    name = "hungry"
    cuda: bool = False

    def build(self) -> Term:
        return self.value

    def value(self, state: StepState) -> torch.Tensor:
        if self.cuda:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return torch.empty(2**60).mean()


@pytest.fixture
def plugins() -> Iterator[Plugins]:
    with installed(Hungry):
        yield load_plugins()


@pytest.mark.parametrize("cuda", [True, False], ids=["CUDA's error", "the CPU's own"])
def test_it_names_peak_batch_resolution_and_three_ways_out(
    plugins: Plugins, cuda: bool, tiny_folder: Path, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    config = load_run_config(
        plugins,
        preset="lora",
        chosen=["hungry"],
        overrides={"data": str(noise_folder(data)), "train": {"steps": 6}},
        assignments=[
            f"backbone.path={tiny_folder}",
            *FAST,
            "losses.hungry.start=0.5",
            f"losses.hungry.cuda={cuda}",
        ],
    )
    with pytest.raises(RunError) as caught:
        train(config, run, plugins)
    said = str(caught.value)
    assert "out of memory on cpu: peak " in said
    assert " MiB with train.batch_size=2 at 32 x 32 pixels; try " in said
    assert "train.batch_size=1 with train.accumulation=2, train.gradient_checkpointing=true, " in said
    assert "train.precision=bf16; the last checkpoint stays" in said, "mini has no dtype to choose"
    assert "\n" not in said
    assert [path.name for path in checkpoints(run)] == ["step-000003"]


def test_what_is_set_already_is_not_advised(plugins: Plugins, tiny_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    config = load_run_config(
        plugins,
        preset="lora",
        backbone="sd15",
        chosen=["hungry"],
        overrides={"data": str(noise_folder(data))},
        assignments=[
            f"backbone.path={tiny_folder}",
            f"backbone.clip={tiny_folder / 'clip'}",
            "sample.every=0",
        ],
    )
    with pytest.raises(RunError, match=r"try backbone.dtype=bfloat16, adapter.rank=\d+, ") as caught:
        train(config, tmp_path / "run", plugins)
    said = str(caught.value)
    assert not any(name in said for name in ("gradient_checkpointing", "precision")), "sd15 has them already"
