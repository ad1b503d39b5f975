"""The judges alone: calibration, the region by attention, prompts' attributes, and the formulas by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spf_core.config.loading import load_run_config
from spf_core.interfaces import Region
from spf_lab.metrics.distances import AttributesOutside
from spf_photos.attributes import ATTRIBUTES
from spf_photos.judges.attention import AttentionRegion, otsu
from spf_photos.judges.contrast import Attributes, Contrast, calibrate
from spf_photos.judges.light import latent_patches, own_clip

SCORES = st.lists(st.floats(-5, 5), min_size=1, max_size=20)


def pictures(count: int, side: int = 32) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.fixture
def model(tiny_backbone, plugins):
    """The tiny base model with a LoRA far from zero."""
    adapter = load_run_config(plugins, preset="lora", overrides={"data": "none"}).adapter.build()
    adapter.attach(tiny_backbone)
    for parameter in adapter.parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    return tiny_backbone, adapter


@settings(max_examples=50, deadline=None)
@given(SCORES, SCORES)
def test_a_higher_contrast_is_never_less_probable(positives: list[float], negatives: list[float]) -> None:
    fitted = calibrate(*(torch.tensor(each, dtype=torch.float64) for each in (positives, negatives)))
    found = fitted(torch.linspace(-10, 10, 41, dtype=torch.float64))
    assert bool((found.diff() >= 0).all())
    assert bool(((found >= 0) & (found <= 1)).all())


def test_calibration_puts_a_half_between_the_classes_and_does_not_run_away() -> None:
    few, more = (torch.full((4,), value, dtype=torch.float64) for value in (3.0, 1.0))
    fitted = calibrate(few, more)
    assert float(fitted(torch.tensor([2.0]))[0]) == pytest.approx(0.5, abs=0.01)
    assert float(fitted(few)[0]) == pytest.approx(5 / 6, abs=0.01), "Platt's target of four positives"
    unequal = calibrate(few, more.repeat(10))
    assert float(unequal(few)[0]) == pytest.approx(5 / 6, abs=0.01)
    assert float(unequal(more)[0]) == pytest.approx(1 / 42, abs=0.01)


def test_a_judge_that_sees_the_opposite_has_no_slope() -> None:
    fitted = calibrate(torch.tensor([0.0, 1.0]).double(), torch.tensor([2.0, 3.0]).double())
    assert fitted.slope == 0


def test_contrast_is_the_log_odds_of_two_texts(model) -> None:
    backbone, adapter = model
    clip, shown = own_clip(backbone, adapter), pictures(2)
    found = Contrast(clip, "red hair")(shown)
    plain, target = (
        torch.stack([clip.texts([text])[0] for text in several]).mean(dim=0)
        for several in (
            ("a photo of a person", "a portrait of a person", "a close-up photo of a face"),
            (
                "a photo of a person, red hair",
                "a portrait of a person, red hair",
                "a close-up photo of a face, red hair",
            ),
        )
    )
    wanted = float(backbone.clip.logit_scale.exp()) * (clip.images(shown) @ (target - plain))
    assert torch.allclose(found.float(), wanted, atol=1e-4)


def test_attributes_are_distributions_over_their_values(model) -> None:
    found = Attributes(own_clip(*model))(pictures(3))
    for name, values in ATTRIBUTES.items():
        assert found[name].shape == (3, len(values))
        assert torch.allclose(found[name].sum(dim=1), torch.ones(3))


def test_structure_ignores_how_bright_a_picture_is(model) -> None:
    backbone, _ = model
    found = latent_patches(backbone, pictures(2, 64))
    assert found.shape == (2, 4 * 4, 8, 8)
    channels = found.reshape(2, 4, 4 * 64)
    assert torch.allclose(channels.mean(dim=2), torch.zeros(2, 4), atol=1e-5)


def test_the_region_comes_from_the_base_model_whatever_the_adapter(model) -> None:
    backbone, adapter = model
    shown = pictures(3)
    region = AttentionRegion(backbone, adapter, "wearing a hat")
    tuned = region(shown)
    assert tuned.shape == (3, 8, 8)
    assert set(tuned.unique().tolist()) <= {0, 1}
    assert all(0 < float(each.float().mean()) < 1 for each in tuned)
    for parameter in adapter.parameters():
        parameter.data.zero_()
    assert torch.equal(AttentionRegion(backbone, adapter, "wearing a hat")(shown), tuned)
    assert torch.equal(region(shown), tuned), "noise has a fixed seed"
    assert torch.equal(region(shown[:1]), tuned[:1]), "a picture's region does not depend on the others"
    assert not torch.equal(AttentionRegion(backbone, adapter, "in the park")(shown), tuned)


def test_otsu_cuts_between_two_levels() -> None:
    values = np.full((8, 8), 0.2)
    values[:3] = 0.7
    assert np.array_equal(otsu(values), values > 0.5)


def test_scores_agree_with_a_hand_computation(evaluate, tmp_path: Path) -> None:
    """From the rows: ratios of means clipped to [0, 1], E over the calibrated tau, their harmonic mean."""
    done, found = evaluate(prompts=4)
    assert done.code == 0, done.err
    lines = (tmp_path / "evaluation" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    parts = []
    for part in ("appearance", "structure", "attributes"):
        metric = {"attributes": "attributes-outside"}.get(part, part)
        pairs = [row["distances"]["tuned"][metric] for row in rows]
        known = {key: [p[key] for p in pairs if p[key] is not None] for key in ("distance", "reseed")}
        if not known["distance"]:
            assert found["parts"][part]["value"] is None
            continue
        distance, reseed = (sum(known[key]) / len(known[key]) for key in ("distance", "reseed"))
        parts.append(min(1, distance / reseed))
        assert found["parts"][part]["value"] == pytest.approx(parts[-1], abs=1e-6)
    spi = sum(parts) / len(parts)
    tau = {role: sum(row["tau"][role] for row in rows) / len(rows) for role in "ac"}
    effect = min(1, max(0, (tau["c"] - tau["a"]) / (found["calibration"]["tau_ref"] - tau["a"])))
    assert found["spi"]["value"] == pytest.approx(spi, abs=1e-6)
    assert found["effect"]["value"] == pytest.approx(effect, abs=1e-6)
    sps = 200 * effect * (1 - spi) / (effect + 1 - spi)
    assert found["sps"]["value"] == pytest.approx(sps, abs=1e-4)


def test_attributes_of_a_local_target_are_read_outside_its_region() -> None:
    judged: list[list[Image.Image]] = []

    class Seeing:
        def attribute_probabilities(self, images: list[Image.Image]) -> dict[str, torch.Tensor]:
            judged.append(images)
            bright = torch.tensor([float(np.asarray(image).mean()) / 255 for image in images])
            return {"light": torch.stack([bright, 1 - bright], dim=1)}

        def allowed_attributes(self, target: str) -> frozenset[str]:
            return frozenset()

    dark, bright = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (255, 255, 255))
    outside = torch.ones(2, 4, 4, dtype=torch.bool)
    outside[0, :, 2:] = False  # the right half of the first picture may change
    outside[1] = False  # a style may change everything
    found = AttributesOutside()(Seeing(), [dark, dark], [bright, bright], Region(outside, outside), "a hat")
    assert found.tolist() == pytest.approx([0.5, 1.0])
    left, whole = (np.asarray(image)[..., 0] for image in judged[1])
    assert (left[:, :4] == 255).all()
    assert (left[:, 4:] == 0).all()
    assert (whole == 255).all()


def test_a_picture_without_a_face_has_no_embedding_and_is_counted(home, model) -> None:
    from spf_lab.metrics.networks.faces import TEMPLATE_52, Face, FaceEmbedder
    from spf_lab.metrics.networks.iresnet import load_iresnet
    from spf_photos.judges.full import _faces

    def detector(image: Image.Image) -> list[Face]:
        bright = np.asarray(image).mean() > 100
        return [Face((0.0, 0.0, 112.0, 112.0), TEMPLATE_52.copy())] if bright else []

    failures: dict[str, int] = {}
    judge = _faces(FaceEmbedder(load_iresnet(home / "arcface.safetensors"), detector), model[0], failures)
    faceless = [Image.new("RGB", (112, 112), "black") for _ in range(2)]
    found = judge([pictures(1, 112)[0], *faceless])
    assert found.shape == (3, 16)
    assert found.isnan().any(dim=1).tolist() == [False, True, True]
    assert failures == {"identity": 2}
    assert bool(judge(faceless).isnan().all())
    assert failures == {"identity": 2}, "each picture once"
