"""The reference bank: the live reference's outputs, kept, so that a step runs the response path alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from steps import batch_of, cached_rows, config_of, parts_of

from spf_core.config.sections import SampleSection
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_core.interfaces.types import Capture
from spf_core.preparation.trajectories import record_trajectories
from spf_core.utils.progress import silent
from spf_plugins.reference.bank import BankPath, ReferenceBank

SHARES = ("train.noise_share=0.5", "reference.name=bank", "reference.states=2", "control_map=uniform")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reference-bank"


@pytest.fixture
def parts(tiny_folder: Path) -> Parts:
    return parts_of(config_of(tiny_folder, *SHARES))


def bank_of(parts: Parts) -> ReferenceBank:
    batch, rows = batch_of(parts), cached_rows(parts)
    generator = torch.Generator().manual_seed(5)
    shape = batch.latents_BCHW.shape[1:]
    with parts.adapter.disabled():  # as before training
        trajectories = record_trajectories(
            parts.backbone, batch.base, batch.empty, shape, SampleSection(steps=3), generator=generator
        )
        everything = Capture(attention=True, queries=True)
        path = BankPath(2)
        return path.record(
            parts.backbone, rows.base, trajectories, everything, generator=generator, progress=silent
        )


def stepped(parts: Parts, progress: float = 0.9) -> Any:
    return dual_path_step(parts, batch_of(parts), progress, generator=torch.Generator().manual_seed(5))


def test_the_bank_gives_what_the_live_reference_gives(parts: Parts) -> None:
    banked = replace(parts, states=bank_of(parts))
    state, report = stepped(banked)
    own = ~state.noised.from_data_B
    assert 0 < int(own.sum()) < 4, "the seed is chosen so that the batch is mixed"
    with torch.no_grad():
        live = parts.reference.run(
            parts.backbone,
            parts.adapter,
            state.noised,
            state.batch.base,
            Capture(attention=True, queries=True),
        )
    torch.testing.assert_close(state.reference.pred_BCHW[own], live.pred_BCHW[own])
    for layer, queries in live.queries.items():
        torch.testing.assert_close(state.reference.queries[layer][own], queries[own])
        torch.testing.assert_close(state.reference.attention[layer][own], live.attention[layer][own])
    assert torch.equal(state.reference.pred_BCHW[~own], state.response.pred_BCHW[~own].detach())
    assert report.raw["fine-grained"] > 0


def test_a_bank_serves_also_a_step_before_terms_that_read_more_become_active(tiny_folder: Path) -> None:
    early = ("losses.fine-grained.start=0", "losses.text-consistency.start=0.5")
    parts = parts_of(config_of(tiny_folder, *SHARES, *early))
    banked = replace(parts, states=bank_of(parts))
    state, report = stepped(banked, progress=0.1)
    assert set(report.raw) >= {"fine-grained"}
    assert "text-consistency" not in report.raw
    assert state.reference.attention == {}
    assert state.reference.queries.keys() == state.response.queries.keys()


def test_a_step_on_the_bank_runs_the_network_once(parts: Parts) -> None:
    banked = replace(parts, states=bank_of(parts))
    calls = []
    parts.backbone.denoiser.register_forward_hook(lambda *_: calls.append(1))
    stepped(banked)
    assert len(calls) == 1
    stepped(parts)
    assert len(calls) == 3


def test_the_bank_is_read_from_disk_the_second_time(parts: Parts, cache: Path) -> None:
    first = bank_of(parts)
    (file,) = cache.glob("*.safetensors")
    calls = []
    written = file.stat().st_mtime_ns
    parts.backbone.denoiser.register_forward_hook(lambda *_: calls.append(1))
    second = bank_of(parts)
    assert not calls, "neither the trajectories nor the outputs are computed again"
    assert file.stat().st_mtime_ns == written
    assert torch.equal(first.outputs.pred_BCHW, second.outputs.pred_BCHW)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            (
                "reference.name=bank",
                "reference.states=2",
            ),
            "needs a train.noise_share above 0",
        ),
        ((*SHARES, "train.empty_share=0.1"), "set train.empty_share to 0"),
    ],
)
def test_a_bank_that_no_row_could_read_is_refused(
    assignments: tuple[str, ...], message: str, tiny_folder: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tiny_folder, *assignments)
