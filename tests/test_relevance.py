"""Where a picture carries what a text says."""

from pathlib import Path

import pytest
import torch
from steps import config_of, parts_of
from torch import Tensor

from spf_core.helpers import effective_share, stretch_to_share
from spf_core.interfaces import Backbone
from spf_core.preparation.relevance import integrated_gradients, relevance


@pytest.fixture
def backbone(tiny_folder: Path) -> Backbone:
    return parts_of(config_of(tiny_folder), trained=False).backbone


def similarity(backbone: Backbone, latents: Tensor, targets: Tensor) -> Tensor:
    return (backbone.embed_images(backbone.decode(latents)) * targets).sum(1)


def test_all_positions_together_give_the_change_of_the_cosine(backbone: Backbone) -> None:
    start, end = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    end = start + 0.3 * end
    targets = backbone.embed_texts(["a hat", "a beard", "a hat"])
    found = integrated_gradients(backbone, start, end, targets)
    change = similarity(backbone, end, targets) - similarity(backbone, start, targets)
    torch.testing.assert_close(found.sum((1, 2, 3)), change.detach(), rtol=0.05, atol=1e-4)
    assert not found.requires_grad


def test_what_did_not_change_adds_nothing(backbone: Backbone) -> None:
    start = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    end = start.clone()
    end[..., 0, 0] += 1
    found = integrated_gradients(backbone, start, end, backbone.embed_texts(["a hat"]))
    assert found[..., 0, 0].abs() > 0
    assert found.flatten()[1:].abs().max() == 0


def test_what_the_pictures_of_one_target_agree_on_counts_more_than_what_one_shows() -> None:
    gradients = torch.zeros(4, 1, 9, 9)
    gradients[:, :, 1, 1] = 1.0
    gradients[0, :, 7, 7] = 1.0
    found = relevance(gradients, torch.zeros(4, dtype=torch.long))[0, 0]
    assert found[1, 1] > found[7, 7] > found[4, 4]
    alone = relevance(gradients, torch.arange(4))[0, 0]
    torch.testing.assert_close(alone[1, 1], alone[7, 7])


@pytest.mark.parametrize("count", [1, 5, 16])
def test_the_effective_share_of_equal_values_is_how_many_they_are(count: int) -> None:
    values = torch.zeros(16).index_fill(0, torch.arange(count), 3.0).view(1, 1, 4, 4)
    torch.testing.assert_close(effective_share(values), torch.tensor([count / 16]))


def test_a_map_is_one_within_its_share_and_falls_to_zero_beyond() -> None:
    values = torch.linspace(0, 1, 100).pow(4).view(1, 1, 10, 10)
    share = float(effective_share(values))
    found = stretch_to_share(values, 1.0, 2.0).flatten()
    assert (found == 1).float().mean() == pytest.approx(share, abs=0.02)
    assert (found > 0).float().mean() == pytest.approx(2 * share, abs=0.02)
    assert (found.diff() >= 0).all()
