"""The dual-path step: what it computes, and what it leaves out."""

from pathlib import Path

import pytest
import torch
from installing import installed
from steps import config_of, parts_of, run

from spf_core.config.loading import load_run_config
from spf_core.errors import ConfigError, PluginError
from spf_core.interfaces import ControlMap, Term
from spf_core.plugins import ControlMapConfig, LossConfig
from spf_core.plugins.discovery import load_plugins


def test_same_seed_gives_the_same_losses_and_another_seed_others(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder))
    first, second, other = (run(parts, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first.total, second.total)
    assert not torch.equal(first.total, other.total)


def test_both_paths_see_the_same_noise_so_an_untrained_adapter_has_no_alignment_loss(
    tiny_folder: Path,
) -> None:
    config = config_of(tiny_folder, "control_map=uniform", "train.base_share=0.999")
    _, report = run(parts_of(config, trained=False))
    assert report.raw["fine-grained"] == 0
    assert report.raw["text-consistency"] == 0


def test_alignment_losses_are_positive_once_the_adapter_moved(tiny_folder: Path) -> None:
    _, report = run(parts_of(config_of(tiny_folder, "control_map=uniform")))
    assert report.raw["fine-grained"] > 0
    assert report.raw["text-consistency"] > 0


def test_stage_one_runs_no_reference_and_captures_nothing(tiny_folder: Path) -> None:
    state, report = run(parts_of(config_of(tiny_folder)), progress=0.0)
    assert set(report.raw) == {"denoising"}
    assert state.reference is None
    assert state.map_B1HW is None
    assert not state.response.attention
    assert not state.response.queries


def test_plain_lora_needs_no_reference_at_any_time(tiny_folder: Path) -> None:
    state, report = run(parts_of(config_of(tiny_folder, preset="lora")))
    assert state.reference is None
    assert set(report.raw) == {"denoising"}


def test_rows_without_their_target_have_an_empty_map_and_do_not_teach(tiny_folder: Path) -> None:
    assignments = ("train.base_share=0.3", "train.empty_share=0.2")
    state, report = run(parts_of(config_of(tiny_folder, *assignments)), seed=0)
    assert state.map_B1HW is not None
    kept = state.has_target_B
    assert 0 < int(kept.sum()) < 4, "the seed is chosen so that the batch is mixed"
    assert state.map_B1HW[~kept].abs().max() == 0
    errors = (state.response.pred_BCHW - state.noised.noise_BCHW).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(report.raw["denoising"], errors[kept].mean())


def test_rows_without_their_target_can_be_noised_from_the_originals_own_pictures(tiny_folder: Path) -> None:
    shares = ("train.base_share=0.3", "train.empty_share=0.2")
    config = config_of(tiny_folder, *shares, "train.preserve_on=own")
    assert "class_images" in config.needs
    parts = parts_of(config)
    state, _ = run(parts)
    abar = state.noised.abar_B.view(-1, 1, 1, 1)
    clean = (state.noised.z_t_BCHW - (1 - abar).sqrt() * state.noised.noise_BCHW) / abar.sqrt()
    kept = state.has_target_B
    assert 0 < int(kept.sum()) < 4, "the seed is chosen so that the batch is mixed"
    torch.testing.assert_close(clean[kept], state.batch.latents_BCHW[kept], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(clean[~kept], state.batch.class_BCHW[~kept], atol=1e-3, rtol=1e-3)


class FullMap(ControlMapConfig):
    """M = 1 everywhere."""

    name = "full-map"

    def build(self) -> ControlMap:
        return lambda state: torch.ones_like(state.noised.z_t_BCHW[:, :1])


def test_a_full_map_switches_alignment_off(tiny_folder: Path) -> None:
    with installed(FullMap):
        plugins = load_plugins()
    config = load_run_config(
        plugins, preset="spf-paper", chosen=["full-map"], assignments=[f"backbone.path={tiny_folder}"]
    )
    _, report = run(parts_of(config))
    assert report.raw["fine-grained"] == 0
    assert report.raw["text-consistency"] == 0
    assert report.raw["denoising"] > 0


def test_gradients_reach_the_adapter_and_nothing_else(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder))
    _, report = run(parts)
    report.total.backward()
    trained = set(map(id, parts.adapter.parameters()))
    assert all(parameter.grad is not None for parameter in parts.adapter.parameters())
    others = [p for p in parts.backbone.denoiser.parameters() if id(p) not in trained]
    assert others
    assert all(parameter.grad is None for parameter in others)


def test_a_term_that_reads_the_reference_without_one_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="reference"):
        config_of(tiny_folder, "reference=null")


class BadLoss(LossConfig):
    """Divides by zero."""

    name = "bad-loss"

    def build(self) -> Term:
        return lambda state: torch.tensor(1 / 0)


def test_a_loss_that_raises_is_named(tiny_folder: Path) -> None:
    with installed(BadLoss):
        plugins = load_plugins()
    assignments = [f"backbone.path={tiny_folder}"]
    config = load_run_config(plugins, preset="lora", chosen=["bad-loss"], assignments=assignments)
    with pytest.raises(PluginError, match="loss 'bad-loss' failed in the step: ZeroDivisionError"):
        run(parts_of(config))
