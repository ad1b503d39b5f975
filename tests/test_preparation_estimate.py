"""The memory estimate of preparation against that of real rows, stage by stage."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import config_of as run_config
from test_trainer import noise_folder

from spf_core.config.run_config import RunConfig
from spf_core.interfaces import Backbone
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import encoded_rows, prepared_rows, recorded_states, rows_of
from spf_core.runs.cache import cache_override
from spf_core.runs.run import open_backbone
from spf_core.training.resources.dry_run import plan_of
from spf_core.training.resources.memory_estimate import autocast, weights_of
from spf_core.training.resources.preparation_estimate import Stages, estimate_preparation_memory
from spf_core.training.resources.run_estimate import memory_rows, preparation_estimate
from spf_core.utils.fake_tensors import Counted, weightless
from spf_core.utils.progress import silent

SIZE = 32, 32


def real(config: RunConfig, backbone: Backbone) -> tuple[dict[str, int], int]:
    """Peaks by stage and what stays, without the weights, of the run's own rows."""
    memory = Counted(torch.device("cpu"))
    stages = Stages(memory)
    with memory, cache_override({}):
        rows: Any = encoded_rows(backbone, rows_of(config.preparation), config.preparation, silent)
        stages("encoding")
        with autocast(config.train.precision, torch.device("cpu")):
            rows = prepared_rows(backbone, rows, config.preparation, stages)
            stages("preparing")
            states = recorded_states(
                backbone,
                rows,
                config.preparation,
                built(config.reference) if config.reference else None,
                stages,
            )
        kept = memory.now
        del states
    return {name: peak for name, (peak, _) in stages.peaks.items()}, kept


CASES = {
    "encoded": ("lora", ()),
    "redrawn": ("spf", ()),
    "in a style": ("spf", ("counterfactuals.region=style",)),
    "states": ("spf-paper", ("train.noise_share=0.5",)),
    "states of a late handover": ("spf-paper", ("train.noise_share=0.5", "sample.handover=0.5")),
    "bank": ("spf-paper", ("train.noise_share=0.5", "reference.name=bank", "reference.states=2")),
    "bfloat16": ("spf", ("train.precision=bf16",)),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures."""
    folder = noise_folder(tmp_path_factory.mktemp("many"))
    line = (folder / "metadata.jsonl").read_text().splitlines()[0]
    for number in range(40):
        shutil.copy(folder / f"{number % 5}.png", folder / f"{number}-copy.png")
    lines = [line.replace("0.png", f"{number}-copy.png") for number in range(40)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def compared(config: RunConfig, pictures: int) -> dict[str, float]:
    """The estimated over the real peak of every stage, and of what stays, without the weights."""
    backbone = open_backbone(config.backbone, "cpu")
    found = estimate_preparation_memory(
        config, backbone, [row.prompt for row in rows_of(config.preparation)], pictures, SIZE
    )
    weights = sum(estimated_weights(backbone))
    peaks, kept = real(config, backbone)
    assert found.peaks.keys() == peaks.keys()
    return {name: (found.peaks[name] - weights) / peak for name, peak in peaks.items()} | {
        "kept": found.kept / kept,
        "at most": (max(found.peaks.values()) - weights) / max(peaks.values()),
    }


def estimated_weights(backbone: Backbone) -> Iterable[int]:
    with weightless(backbone.device, backbone) as (copied, tensors):
        return weights_of(copied, tensors, parked=False).values()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_preparation_takes_the_estimated_memory(
    case: str, plugins: Plugins, tiny_folder: Path, data: Path
) -> None:
    preset, settings = CASES[case]
    fast = ("sample.steps=6",)
    found = compared(run_config(plugins, tiny_folder, data, *settings, *fast, preset=preset), pictures=5)
    assert all(share == pytest.approx(1, abs=0.06) for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("case", ["encoded", "redrawn", "bank"])
def test_more_rows_than_are_treated_at_once_are_reckoned(
    case: str, plugins: Plugins, tiny_folder: Path, many: Path
) -> None:
    preset, settings = CASES[case]
    fast = ("sample.steps=4", "train.text_variants=1")
    found = compared(run_config(plugins, tiny_folder, many, *settings, *fast, preset=preset), pictures=40)
    assert found["at most"] == pytest.approx(1, abs=0.07), found
    assert found["kept"] == pytest.approx(1, abs=0.05), found


def test_an_estimate_reads_and_writes_no_cache(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    config = run_config(plugins, tiny_folder, data, preset="spf")
    backbone, state = open_backbone(config.backbone, "cpu"), torch.get_rng_state()
    estimate_preparation_memory(
        config, backbone, [row.prompt for row in rows_of(config.preparation)], 5, SIZE
    )
    assert not (tmp_path / "cache").exists()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.device.type == "cpu" and not each.is_meta for each in backbone.denoiser.parameters())


@pytest.mark.slow
def test_a_plan_tells_the_most_of_preparation_and_steps(
    plugins: Plugins, tiny_folder: Path, data: Path
) -> None:
    small, large = (f"train.batch_size={count}" for count in (1, 8))
    sizes = dict(plan_of(run_config(plugins, tiny_folder, data, small, preset="spf")).sizes)
    assert sizes["peak memory, estimated"].endswith("before the first step (class images)")
    assert sizes["memory of a step"].endswith("in a step of 1 at 32x32 with every term on")
    sizes = dict(plan_of(run_config(plugins, tiny_folder, data, large, preset="spf")).sizes)
    assert sizes["peak memory, estimated"].endswith("in a step of 8 at 32x32 with every term on")
    assert "memory of a step" not in sizes


def test_a_preparation_that_cannot_be_estimated_says_so(
    plugins: Plugins, tiny_folder: Path, data: Path
) -> None:
    config = run_config(plugins, tiny_folder, data, preset="lora")
    backbone = open_backbone(config.backbone, "cpu")
    backbone.encode_images = lambda pixels: torch.zeros(1).numpy()  # type: ignore[method-assign,assignment]
    told = preparation_estimate(
        config, backbone, [row.prompt for row in rows_of(config.preparation)], 5, SIZE
    )
    assert isinstance(told, str)
    assert told.startswith(
        "not known: the memory of preparation cannot be estimated (RuntimeError: .numpy() is not"
    )
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    adapter.attach(backbone)
    lines = memory_rows(
        config, backbone, adapter, [row.prompt for row in rows_of(config.preparation)], SIZE, told
    )
    assert dict(lines)["peak memory, estimated"].endswith(f"with every term on; before it, {told}")
