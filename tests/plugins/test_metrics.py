"""The five distances: what each sees, what it overlooks on purpose, and when it does not apply."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from spf_core.interfaces import Region
from spf_core.plugins.discovery import load_plugins
from spf_lab.metrics.formulas import appearance_distance, masked_mean, part_agreement, patch_distance

LEFT = torch.zeros(1, 16, 16, dtype=torch.bool)
LEFT[:, :, :8] = True
REGION = Region(outside_NHW=LEFT, layout_NHW=LEFT)


@dataclass
class Verdicts:
    """A suite that looks verdicts up by the first image's red value."""

    answers: dict = field(default_factory=dict)
    parts: frozenset = frozenset()
    attributes_allowed: frozenset = frozenset()
    identity_changes: bool = False

    def _answer(self, images):
        return self.answers[np.asarray(images[0])[0, 0, 0].item()]

    def segment(self, images):
        return self._answer(images)

    identity = patch_features = attribute_probabilities = segment

    def allowed_parts(self, target):
        return self.parts

    def allowed_attributes(self, target):
        return self.attributes_allowed

    def changes_identity(self, target):
        return self.identity_changes


def metric(name):
    return load_plugins().get(name, "metric")().build()


def plain(red):
    return [Image.new("RGB", (16, 16), (red, 0, 0))]


def test_every_part_of_pollution_has_a_metric():
    built = [entry.config().build() for entry in load_plugins().of_kind("metric").values()]
    assert {each.part for each in built} == {"appearance", "structure", "layout", "identity", "attributes"}


@pytest.mark.parametrize(
    "name", ["appearance", "structure", "layout", "identity", "attributes", "attributes-outside"]
)
def test_equal_images_are_at_distance_zero(name):
    answers = {
        "structure": torch.rand(1, 4, 4, 4) + 0.1,
        "layout": torch.randint(0, 3, (1, 16, 16)),
        "identity": F.normalize(torch.rand(1, 8), dim=1),
        "attributes": {"hair": torch.tensor([[0.3, 0.7]])},
    }
    suite = Verdicts({100: answers.get(name.removesuffix("-outside"))})
    distance = metric(name)(suite, plain(100), plain(100), REGION, "hat")
    assert distance.tolist() == [0.0]


def test_appearance_sees_the_outside_and_nothing_inside():
    first, inside, outside = (np.zeros((16, 16, 3), np.uint8) for _ in range(3))
    inside[:, 9:], outside[:, :7] = 255, 255
    images = {name: [Image.fromarray(pixels)] for name, pixels in
              {"first": first, "inside": inside, "outside": outside}.items()}  # fmt: skip
    compare = metric("appearance")
    assert compare(Verdicts(), images["first"], images["inside"], REGION, "hat").item() == 0
    assert compare(Verdicts(), images["first"], images["outside"], REGION, "hat").item() > 0.8
    assert compare(Verdicts(), images["first"], images["inside"], None, "hat").item() > 0.3


def test_appearance_also_counts_edges():
    flat, stripes = torch.full((1, 3, 8, 8), 0.1), torch.zeros(1, 3, 8, 8)
    stripes[..., ::2] = 0.2
    black, everywhere = torch.zeros(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    plain_distance = appearance_distance(black, flat, everywhere)
    assert plain_distance.item() == pytest.approx(0.1)
    assert appearance_distance(black, stripes, everywhere).item() == pytest.approx(0.2)


def test_the_mean_is_over_the_masked_area_not_over_the_frame():
    values, mask = torch.full((1, 10, 10), 0.5), torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[0, 0, :3] = True
    assert masked_mean(values, mask).item() == pytest.approx(0.5)


def test_without_any_outside_pixel_appearance_and_structure_do_not_apply():
    nothing = Region(torch.zeros(1, 16, 16, dtype=torch.bool), LEFT)
    suite = Verdicts({1: torch.rand(1, 4, 4, 4), 2: torch.rand(1, 4, 4, 4)})
    assert metric("appearance")(suite, plain(1), plain(2), nothing, "sketch").isnan().all()
    assert metric("structure")(suite, plain(1), plain(2), nothing, "sketch").isnan().all()


def test_structure_reads_only_patches_nine_tenths_outside():
    first, second = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    second[:, 0, :, 2:] = -1
    assert patch_distance(first, second, LEFT).item() == pytest.approx(0.0, abs=1e-6)
    second[:, 0, :, :2] = -1
    assert patch_distance(first, second, LEFT).item() == pytest.approx(1.0, abs=1e-6)
    outside = LEFT.clone()
    outside[:, ::4, :8] = False  # a quarter of every patch lies inside
    assert patch_distance(first, second, outside).isnan().all()


def test_layout_is_the_mean_iou_of_parts():
    first, second = torch.zeros(1, 10, 10, dtype=torch.long), torch.zeros(1, 10, 10, dtype=torch.long)
    first[:, :, :4], second[:, :, :2] = 1, 1
    everywhere = torch.ones(1, 10, 10, dtype=torch.bool)
    assert part_agreement(first, second, everywhere, frozenset()).item() == pytest.approx((0.5 + 0.75) / 2)
    assert part_agreement(first, second, everywhere, frozenset({0})).item() == pytest.approx(0.5)


def test_a_part_seen_in_one_image_only_counts_nothing():
    first = torch.zeros(1, 10, 10, dtype=torch.long)
    second = torch.ones(1, 10, 10, dtype=torch.long)
    assert part_agreement(first, second, torch.ones(1, 10, 10, dtype=torch.bool), frozenset()).item() == 0


def test_layout_ignores_allowed_parts_only_where_the_target_may_act():
    first, second = torch.zeros(1, 16, 16, dtype=torch.long), torch.zeros(1, 16, 16, dtype=torch.long)
    second[:, :4, :4] = 2
    suite = Verdicts({1: first, 2: second}, parts=frozenset({2}))
    everywhere = metric("layout")(suite, plain(1), plain(2), None, "hat")
    assert everywhere.item() > metric("layout")(suite, plain(1), plain(2), REGION, "hat").item()


def test_identity_is_one_minus_cosine():
    suite = Verdicts({1: torch.tensor([[1.0, 0.0]]), 2: torch.tensor([[0.0, 1.0]])})
    assert metric("identity")(suite, plain(1), plain(2), REGION, "hat").item() == pytest.approx(1.0)


def test_identity_does_not_apply_to_a_target_that_alters_it_unless_nothing_may_change():
    same = torch.tensor([[1.0, 0.0]])
    suite = Verdicts({1: same, 2: same}, identity_changes=True)
    assert metric("identity")(suite, plain(1), plain(2), REGION, "hat").isnan().all()
    assert metric("identity")(suite, plain(1), plain(2), None, "hat").item() == pytest.approx(0.0)


def test_attributes_average_total_variation_over_those_not_allowed():
    first = {"hair": torch.tensor([[1.0, 0.0]]), "eyes": torch.tensor([[1.0, 0.0]])}
    second = {"hair": torch.tensor([[0.6, 0.4]]), "eyes": torch.tensor([[0.0, 1.0]])}
    suite = Verdicts({1: first, 2: second}, attributes_allowed=frozenset({"eyes"}))
    assert metric("attributes")(suite, plain(1), plain(2), REGION, "hat").item() == pytest.approx(0.4)
    assert metric("attributes")(suite, plain(1), plain(2), None, "hat").item() == pytest.approx(0.7)


def test_masks_of_another_resolution_are_fitted_to_the_images():
    coarse = Region(LEFT[:, ::2, ::2], LEFT[:, ::2, ::2])
    first, inside = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)
    inside[:, 9:] = 255
    distance = metric("appearance")(
        Verdicts(), [Image.fromarray(first)], [Image.fromarray(inside)], coarse, "x"
    )
    assert distance.item() == 0
