"""What the judges say of the truth."""

import json

import numpy as np
import pytest
from PIL import Image

from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.metrics import purity_metrics
from spf_portraits.judges.load import DEFAULT_FOLDER
from spf_portraits.pretrain.ceiling import judged, truth
from spf_portraits.suite import PortraitsSuite
from spf_portraits.world.render import render
from spf_portraits.world.spec import TARGETS, Portrait


def renders(portraits: list[Portrait]) -> list[Image.Image]:
    return [Image.fromarray(render(portrait)) for portrait in portraits]


@pytest.mark.parametrize("target", ["eyepatch", "hat"])
def test_a_perfect_edit_shows_the_target_and_little_else(target: str) -> None:
    suite = PortraitsSuite()
    quads = truth(suite, target, renders, count=24)
    assert all(np.array_equal(one, other) for one, other in zip(quads.a, quads.d, strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(quads.a, quads.c, strict=True))
    several = judged(suite, purity_metrics(load_plugins(), suite).built, quads)
    assert several.keys() == {"all", "explicit", "silent"}
    found = several["all"]
    assert found["hit_rate"] >= 0.9
    assert found["base_leak"] == 0
    assert found["spi"] <= 0.2


def test_strangers_of_the_same_caption_are_what_it_says() -> None:
    shown: list[list[Portrait]] = []

    def remember(portraits: list[Portrait]) -> list[Image.Image]:
        shown.append(portraits)
        return renders(portraits)

    quads = truth(PortraitsSuite(), "hat", remember, count=12)
    original, edited, strangers = shown
    for prompt, one, with_target, other in zip(quads.prompts, original, edited, strangers, strict=True):
        assert with_target.target == "hat"
        assert {name: other.labels()[name] for name in prompt.mentioned} == dict(prompt.mentioned)
        assert one.identity() != other.identity()


def test_the_ceiling_of_every_target_is_published() -> None:
    published = json.loads((DEFAULT_FOLDER / "ceiling.json").read_text(encoding="utf-8"))
    assert list(published["targets"]) == list(TARGETS)
    for target in TARGETS:
        assert PortraitsSuite().ceiling(target) == published["targets"][target]
