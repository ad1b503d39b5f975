"""The embedded judges read pictures they never saw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spf_core.errors import RunError
from spf_portraits.judges.load import Judges, load_judges
from spf_portraits.world.render import PARTS, render, segment
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait

COUNT = 120


@pytest.fixture(scope="module")
def judges() -> Judges:
    return load_judges()


@pytest.fixture(scope="module")
def portraits() -> list[Portrait]:
    rng = np.random.default_rng(7)
    return [sample_portrait(rng, split="test") for _ in range(COUNT)]


def pictures(portraits: list[Portrait]) -> torch.Tensor:
    return torch.from_numpy(np.stack([render(p) for p in portraits])).permute(0, 3, 1, 2).float() / 255


def test_probe_reads_every_attribute_as_well_as_published(judges: Judges, portraits: list[Portrait]) -> None:
    read = judges.labels(pictures(portraits))
    for name in ATTRIBUTES:
        truths = [getattr(portrait, name) for portrait in portraits]
        hits = sum(labels[name] == truth for labels, truth in zip(read, truths, strict=True)) / COUNT
        assert hits >= judges.accuracy["probe"]["renders"][name] - 0.1, name


def test_probabilities_cover_the_classes_and_sum_to_one(judges: Judges, portraits: list[Portrait]) -> None:
    probabilities = judges.probe(pictures(portraits[:4]))
    assert list(probabilities) == list(judges.classes) == [*ATTRIBUTES, "target"]
    for name, values in probabilities.items():
        assert values.shape == (4, len(judges.classes[name]))
        torch.testing.assert_close(values.sum(dim=-1), torch.ones(4))


def test_probe_sees_a_target_and_its_absence(judges: Judges, portraits: list[Portrait]) -> None:
    plain = judges.labels(pictures(portraits))
    assert sum(labels["target"] == "none" for labels in plain) >= 0.9 * COUNT
    seen = []
    for name in TARGETS:
        with_target = [replace(p, target=name) for p in portraits[:30]]
        seen += [labels["target"] == name for labels in judges.labels(pictures(with_target))]
    assert sum(seen) / len(seen) >= judges.accuracy["probe"]["renders"]["target"] - 0.1


def test_segmenter_finds_the_rendered_parts(judges: Judges, portraits: list[Portrait]) -> None:
    assert judges.parts == PARTS
    truth = torch.from_numpy(np.stack([segment(p) for p in portraits]))
    found = judges.segment(pictures(portraits))
    assert found.shape == truth.shape
    assert (found == truth).float().mean() >= judges.accuracy["segmenter"]["renders"]["pixel_accuracy"] - 0.03


def test_a_person_elsewhere_is_closer_than_a_stranger(judges: Judges, portraits: list[Portrait]) -> None:
    moved = [replace(p, expression="laughing", background="teal", framing="half-length") for p in portraits]
    here, there = judges.identity(pictures(portraits)), judges.identity(pictures(moved))
    torch.testing.assert_close(here.norm(dim=-1), torch.ones(COUNT))
    similarity = here @ there.T
    same, others = similarity.diagonal(), similarity[~torch.eye(COUNT, dtype=torch.bool)]
    area = (same[:, None] > others[None, :]).float().mean()
    assert area >= judges.accuracy["identity"]["renders"]["auc"] - 0.05


def test_larger_pictures_are_judged_too(judges: Judges, portraits: list[Portrait]) -> None:
    large = torch.from_numpy(render(portraits[0], 128)).permute(2, 0, 1)[None].float() / 255
    assert judges.labels(large)[0]["background"] == portraits[0].background
    assert judges.segment(large).shape == (1, 64, 64)


def test_a_folder_without_judges_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path)):
        load_judges(tmp_path)
