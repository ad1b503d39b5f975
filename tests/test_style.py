"""A style is learnt as a map that sees too little to bring along what its pictures show."""

from pathlib import Path

import pytest
import torch
from steps import cached_rows, config_of, parts_of
from torch import Tensor

from spf_core.preparation.rows import prepared_rows
from spf_core.preparation.style import fit_style
from spf_core.utils.progress import silent

PLACE = (slice(None), slice(None), slice(3, 7), slice(3, 7))


def picture(count: int, seed: int) -> Tensor:
    """Smooth random latents, N 4 16 16."""
    coarse = torch.randn(count, 4, 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=16, mode="bilinear")


def style_of(latents: Tensor) -> Tensor:
    """A style that is known: other colours, less contrast."""
    return 0.5 * latents.flip(1) + 0.3


def test_the_style_is_learnt_and_what_all_its_pictures_show_is_not() -> None:
    without = picture(16, seed=0)
    styled = style_of(without)
    styled[PLACE] = torch.tensor([2.0, -2.0, 2.0, -2.0]).view(1, 4, 1, 1)  # the same thing in every picture
    own = picture(20, seed=1)
    with torch.no_grad():
        found = fit_style(without, styled, seed=0)(own)
    error = (found - style_of(own)).abs()
    assert error.mean() < 0.1 * (own - style_of(own)).abs().mean()
    assert error[PLACE].mean() < 1.5 * error.mean(), "what they share is nowhere"


def test_a_style_is_fitted_alike_by_every_process() -> None:
    without = picture(8, seed=0)
    one, other = (fit_style(without, style_of(without), seed=0).weights for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def rows(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    config = config_of(
        tiny_folder, "counterfactuals.enabled=true", "counterfactuals.region=style", "train.preserve_on=own"
    )
    parts = parts_of(config, trained=False)
    return config, parts.backbone, cached_rows(parts)


def test_rows_are_the_originals_own_pictures_and_the_same_in_the_style(rows) -> None:
    config, backbone, before = rows
    after = prepared_rows(backbone, before, config.preparation, silent)
    assert torch.equal(after.without_NCHW, after.class_NCHW)
    assert torch.equal(after.region_N1HW, torch.ones_like(after.region_N1HW))
    assert not torch.allclose(after.latents_NCHW, after.class_NCHW)
    again = prepared_rows(backbone, before, config.preparation, silent)
    assert torch.equal(again.latents_NCHW, after.latents_NCHW)
