"""Several runs on one backbone: each at its own strength, and none of them in the way at 0."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spf_core.errors import ConfigError, RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, open_run
from spf_core.sampling.composition import open_runs
from spf_core.utils.prompts import Prompt

MakeRun = Callable[..., Path]
FULL = ("adapter=full-unet", "optimizer.learning_rate=0.0005")
ADALORA = ("adapter.name=adalora-adapter", "adapter.init_rank=6", "adapter.target_rank=3")
CONVOLUTIONS = ("adapter.rank=4", "adapter.targets=[to_q,conv1,downsamplers.0.conv]")


@torch.no_grad()
def predicted(opened: OpenRun) -> Tensor:
    cond = opened.backbone.encode_prompts([Prompt("an old man", "wearing a hat")], with_target=True)
    z_t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return opened.backbone.predict(z_t, torch.tensor([400]), cond).pred_BCHW


def alone(run: Path, plugins: Plugins, strength: float = 1.0) -> Tensor:
    opened = open_run(run, plugins, device="cpu")
    opened.adapter.scale(strength)
    return predicted(opened)


def group(runs: list[Path], strengths: list[float], plugins: Plugins) -> OpenRun:
    return open_runs(runs, strengths, plugins, device="cpu")


@pytest.fixture
def hat(make_run: MakeRun) -> Path:
    return make_run("sd15", "adapter.rank=4", "adapter.alpha=2")


@pytest.fixture
def glasses(make_run: MakeRun) -> Path:
    return make_run("sd15", "adapter.rank=3", "train.seed=5", name="glasses")


@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_strength_0_of_one_is_exactly_the_other_alone(
    make_run: MakeRun, plugins: Plugins, backbone: str
) -> None:
    hat = make_run(backbone, "adapter.rank=4", "adapter.alpha=2")
    glasses = make_run(backbone, "adapter.rank=3", "train.seed=5", name="glasses")
    for strengths, run, own in (((0.8, 0.0), hat, 0.8), ((0.0, 1.0), glasses, 1.0)):
        assert torch.equal(
            predicted(group([hat, glasses], list(strengths), plugins)), alone(run, plugins, own)
        )


def test_both_together_differ_from_either_and_not_by_their_order(
    hat: Path, glasses: Path, plugins: Plugins
) -> None:
    both = predicted(group([hat, glasses], [0.8, 1.0], plugins))
    for run, strength in ((hat, 0.8), (glasses, 1.0)):
        assert (both - alone(run, plugins, strength)).abs().max() > 1e-3
    turned = predicted(group([glasses, hat], [1.0, 0.8], plugins))
    torch.testing.assert_close(turned, both, rtol=0, atol=5e-6)


def test_a_run_beside_itself_counts_twice(hat: Path, plugins: Plugins) -> None:
    twice = predicted(group([hat, hat], [0.25, 0.5], plugins))
    torch.testing.assert_close(twice, alone(hat, plugins, 0.75), rtol=0, atol=5e-6)


@pytest.mark.parametrize("more", [ADALORA, CONVOLUTIONS], ids=["adalora", "convolutions"])
def test_every_low_rank_run_is_added_as_it_is_alone(
    make_run: MakeRun, plugins: Plugins, hat: Path, more: tuple[str, ...]
) -> None:
    other = make_run("sd15", *more, name="other", steps=8)
    added = predicted(group([hat, other], [0.0, 1.0], plugins))
    assert (added - alone(other, plugins, 0.0)).abs().max() > 1e-3
    torch.testing.assert_close(added, alone(other, plugins), rtol=0, atol=5e-6)


def test_one_of_them_may_have_trained_whole_weights(make_run: MakeRun, plugins: Plugins, hat: Path) -> None:
    full = make_run("sd15", *FULL, name="full")
    assert torch.equal(predicted(group([hat, full], [0.0, 1.0], plugins)), alone(full, plugins))
    assert torch.equal(predicted(group([hat, full], [0.7, 0.0], plugins)), alone(hat, plugins, 0.7))
    with pytest.raises(RunError, match="both trained whole weights"):
        group([full, full], [1.0, 1.0], plugins)


def test_dora_can_only_come_first(make_run: MakeRun, plugins: Plugins, hat: Path) -> None:
    dora = make_run("sd15", "adapter.rank=4", "adapter.alpha=2", "adapter.dora=true", name="dora")
    assert torch.equal(predicted(group([dora, hat], [0.7, 0.0], plugins)), alone(dora, plugins, 0.7))
    with pytest.raises(RunError, match="can only be the first --run"):
        group([hat, dora], [1.0, 1.0], plugins)


def test_switched_off_they_are_the_original_model(hat: Path, glasses: Path, plugins: Plugins) -> None:
    opened = group([hat, glasses], [0.8, 1.0], plugins)
    original = alone(hat, plugins, 0.0)
    with opened.adapter.disabled():
        assert torch.equal(predicted(opened), original)
    assert not torch.equal(predicted(opened), original)
    opened.adapter.scale(0.0)
    assert torch.equal(predicted(opened), original)


def test_runs_of_different_bases_are_refused(make_run: MakeRun, plugins: Plugins, hat: Path) -> None:
    with pytest.raises(RunError, match="were trained on different base models") as caught:
        group([hat, make_run("sdxl", "adapter.rank=4", "adapter.alpha=2")], [1.0, 1.0], plugins)
    assert "\n" not in str(caught.value)


def test_every_run_has_its_strength(hat: Path, glasses: Path, plugins: Plugins) -> None:
    with pytest.raises(ConfigError, match="3 strengths for 2 runs"):
        group([hat, glasses], [1.0, 1.0, 1.0], plugins)


def test_the_earliest_handover_counts(make_run: MakeRun, plugins: Plugins, hat: Path) -> None:
    late = make_run("sd15", "adapter.rank=4", "sample.handover=0.3", name="late")
    later = make_run("sd15", "adapter.rank=4", "sample.handover=0.6", name="later")
    assert group([late, later], [1.0, 1.0], plugins).config.sample.handover == 0.6
