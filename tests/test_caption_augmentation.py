"""Caption augmentation: shorter variants of training texts, and images that are encoded once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spf_core.config.loading import load_run_config
from spf_core.data import Row
from spf_core.interfaces import Backbone
from spf_core.plugins.discovery import load_plugins
from spf_core.preparation.caption_augmentation import with_variants
from spf_core.preparation.encoding import encode_rows

TEXT = "a portrait of an old man, red hair, in the park"


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    found = []
    for number in range(5):
        file = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        found.append(Row(file, TEXT, "wearing a hat", ("an old man", "red hair", "the park")))
    return found


def test_variants_leave_out_clauses_and_keep_the_first(rows: list[Row]) -> None:
    varied = with_variants(rows, 4, 0.5, seed=0)
    assert varied[:5] == rows
    assert len(varied) == 20
    shorter = [row for row in varied if row.base_text != TEXT]
    assert shorter
    for row in shorter:
        assert row.base_text.startswith("a portrait of an old man")
        assert set(row.base_text.split(",")) < set(TEXT.split(","))
        assert row.base_phrases == tuple(p for p in rows[0].base_phrases if p in row.base_text)
        assert row.target_text == "wearing a hat"


def test_variants_are_the_same_for_a_seed_and_none_by_default(rows: list[Row]) -> None:
    assert with_variants(rows, 3, 0.5, seed=1) == with_variants(rows, 3, 0.5, seed=1)
    assert with_variants(rows, 3, 0.5, seed=1) != with_variants(rows, 3, 0.5, seed=2)
    assert with_variants(rows, 1, 0.5, seed=1) == rows


def test_an_image_is_encoded_once_whatever_is_said_about_it(rows: list[Row], tiny_folder: Path) -> None:
    config = load_run_config(load_plugins(), preset="lora", assignments=[f"backbone.path={tiny_folder}"])
    backbone: Backbone = config.backbone.build()
    told: list[tuple[int, int]] = []

    def watch(stage: str, done: int, total: int, **values: float) -> None:
        told.append((done, total))

    cached = encode_rows(backbone, with_variants(rows, 3, 0.9, seed=0), progress=watch)
    assert told == [(0, 5), (5, 5)]
    assert cached.latents_NCHW.shape[0] == 15
    assert torch.equal(cached.latents_NCHW[:5], cached.latents_NCHW[10:])
    assert not torch.equal(cached.latents_NCHW[0], cached.latents_NCHW[1])
