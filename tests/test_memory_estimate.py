"""The memory estimate of a step against a real step: memory kept, peak, and state left unchanged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from steps import PROMPTS, batch_of, config_of, parts_of, run
from test_memory_options import Saved
from test_trainer import config_of as run_config
from test_trainer import noise_folder

from spf_core.dual_path.step import dual_path_step
from spf_core.plugins.discovery import load_plugins
from spf_core.training.resources.dry_run import plan_of
from spf_core.training.resources.memory_estimate import ALL_ON, estimate_memory
from spf_core.training.resources.run_estimate import memory_rows
from spf_core.utils.fake_tensors import Counted, rounded

SIZE = 32, 32
CLOSE = 0.03
EVERYTHING = ("train.batch_size=4", "train.base_share=0", "train.empty_share=0")
DECODED = ("response.max_timestep=1", "response.share=0.5")  # two of the four rows


class SavedBeside(Saved):
    """Bytes that autograd keeps besides the tensors that were there before."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.held = known, list[torch.Tensor]()

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.held.append(tensor)  # so that no address is given twice
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.storages[storage.data_ptr()] = rounded(storage.nbytes())
        return tensor


def real_step(parts: Any, watching: Any, precision: str = "no") -> Any:
    batch, on = batch_of(parts), precision == "bf16"
    with watching:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=on):
            state, report = dual_path_step(parts, batch, ALL_ON, generator=torch.Generator().manual_seed(0))
        total = report.total
        del state, report
        kept = getattr(watching, "now", None) or watching.total
        total.backward()
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("preset", ["lora", "naive", "spf-paper", "spf"])
def test_a_step_keeps_the_estimated_memory(preset: str, precision: str, tiny_folder: Path) -> None:
    decoded = DECODED if "spf" in preset else ()
    config = config_of(tiny_folder, *EVERYTHING, *decoded, f"train.precision={precision}", preset=preset)
    parts = parts_of(config)
    parts.backbone.to(torch.device("cpu"))
    found = estimate_memory(config, parts.backbone, parts.adapter, PROMPTS, SIZE)
    before = (*parts.backbone.denoiser.parameters(), *parts.backbone.vae.parameters())
    known = {tensor.untyped_storage().data_ptr() for tensor in before}
    known |= {t.untyped_storage().data_ptr() for t in parts.backbone.clip.parameters()}
    kept = real_step(parts, SavedBeside(known), precision)
    assert found.kept == pytest.approx(kept, rel=CLOSE)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_takes_at_most_the_estimated_memory(checkpointing: bool, tiny_folder: Path) -> None:
    setting = f"train.gradient_checkpointing={str(checkpointing).lower()}"
    config = config_of(tiny_folder, *EVERYTHING, *DECODED, setting)
    parts = parts_of(config)
    parts.backbone.to(torch.device("cpu"))
    found = estimate_memory(config, parts.backbone, parts.adapter, PROMPTS, SIZE)
    if checkpointing:
        parts.backbone.checkpoint_gradients()  # type: ignore[attr-defined]
    memory = Counted(torch.device("cpu"))
    kept = real_step(parts, memory)
    assert found.kept == pytest.approx(kept, rel=CLOSE)
    assert found.peak - sum(found.weights.values()) == pytest.approx(memory.peak, rel=CLOSE)


def test_an_estimate_leaves_everything_as_it_was(tiny_folder: Path) -> None:
    config = config_of(tiny_folder, *EVERYTHING, "train.gradient_checkpointing=true")
    parts = parts_of(config)
    state = torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in parts.adapter.state_dict().items()}
    estimate_memory(config, parts.backbone, parts.adapter, PROMPTS, SIZE)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in parts.adapter.state_dict().items())
    assert all(parameter.grad is None for parameter in parts.adapter.parameters())
    assert not parts.backbone.denoiser.is_gradient_checkpointing
    run(parts)[1].total.backward()  # with values, as before


@pytest.mark.slow
def test_checkpointing_batch_and_size_are_seen(tiny_folder: Path) -> None:
    def kept(*assignments: str, size: tuple[int, int] = SIZE) -> int:
        config = config_of(tiny_folder, *assignments, preset="lora")
        parts = parts_of(config)
        return estimate_memory(config, parts.backbone, parts.adapter, PROMPTS, size).kept

    one, four = kept("train.batch_size=1"), kept("train.batch_size=4")
    assert 3 * one < four < 4.1 * one
    assert kept("train.batch_size=1", size=(64, 64)) > 3 * one
    assert kept("train.batch_size=4", "train.gradient_checkpointing=true") < four / 2


def test_weights_are_told_by_part_and_format(tiny_folder: Path) -> None:
    config = config_of(tiny_folder, preset="lora")
    parts = parts_of(config)
    parts.backbone.clip.to(torch.bfloat16)  # type: ignore[attr-defined]
    found = estimate_memory(config, parts.backbone, parts.adapter, PROMPTS, SIZE).weights
    sizes = {part: dtype for part, dtype in found if dtype.is_floating_point}
    assert sizes["clip"] == torch.bfloat16
    assert {"denoiser", "vae", "text_encoder"} <= {part for part, dtype in found if dtype == torch.float32}
    denoiser = sum(p.numel() for p in parts.backbone.denoiser.parameters()) * 4
    assert found["denoiser", torch.float32] == pytest.approx(denoiser, rel=0.1)


def test_a_plan_shows_the_estimate(tiny_folder: Path, tmp_path: Path) -> None:
    data = noise_folder(tmp_path)
    sizes = dict(plan_of(run_config(load_plugins(), tiny_folder, data, preset="spf-paper")).sizes)
    assert "denoiser" in sizes["weights on the device"]
    assert "MiB" in sizes["kept for the backward pass"]
    assert sizes["peak memory, estimated"].endswith("at 32x32 with every term on")


def test_a_step_that_cannot_be_estimated_says_so(tiny_folder: Path) -> None:
    config = config_of(tiny_folder, preset="lora")
    parts = parts_of(config)
    parts.backbone.predict = lambda *_: torch.zeros(1).numpy()  # type: ignore[method-assign]
    ((name, told),) = memory_rows(config, parts.backbone, parts.adapter, PROMPTS, SIZE)
    assert name == "peak memory"
    assert told.startswith(
        "not known: the memory of a step cannot be estimated (RuntimeError: .numpy() is not"
    )
