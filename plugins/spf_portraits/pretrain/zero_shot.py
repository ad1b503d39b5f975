"""What the text tower can tell apart: zero-shot accuracy of the contrastive model.

The UNet reads nothing but this tower, so what two captions share here it cannot draw differently.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from spf_portraits.pretrain.clip import tokenize
from spf_portraits.pretrain.data import to_pixels
from spf_portraits.world.captions import describe
from spf_portraits.world.render import render
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait

PORTRAITS = 300


@torch.no_grad()
def zero_shot_accuracy(clip: CLIPModel, tokenizer: CLIPTokenizer, seed: int = 300) -> dict[str, float]:
    """Share of unseen portraits whose picture lies nearest to the phrase that names their value.

    One entry per attribute, over the values that have words of their own, and `target`, over portraits
    that carry one.
    """
    rng = np.random.default_rng(seed)
    names = [None, *TARGETS]
    portraits = [
        sample_portrait(rng, target=names[int(rng.integers(len(names)))], split="test")
        for _ in range(PORTRAITS)
    ]
    pictures = to_pixels(np.stack([render(portrait) for portrait in portraits]))
    images_ND = clip.get_image_features(pixel_values=pictures).pooler_output

    def accuracy(values: list[str | None], phrases: dict[str, str]) -> float:
        texts_CD = clip.get_text_features(input_ids=tokenize(tokenizer, list(phrases.values()))).pooler_output
        said = [value in phrases for value in values]
        nearest = _nearest(images_ND[torch.tensor(said)], texts_CD)
        options = list(phrases)
        truth = [options.index(value) for value in values if value in phrases]
        return round(float((nearest == torch.tensor(truth)).float().mean()), 4)

    found = {
        name: accuracy([getattr(portrait, name) for portrait in portraits], attribute_phrases(name))
        for name in ATTRIBUTES
    }
    targets = {name: target.phrase for name, target in TARGETS.items()}
    return found | {"target": accuracy([portrait.target for portrait in portraits], targets)}


def attribute_phrases(name: str) -> dict[str, str]:
    """The phrase of every value that has one, on a person otherwise alike."""
    rng = np.random.default_rng(0)
    person = replace(sample_portrait(rng), hair_style="bob", hair_color="brown", clothes="hoodie")
    return {value: _phrase(person, name, value) for value in ATTRIBUTES[name] if value != "none"}


def _phrase(person: Portrait, name: str, value: str) -> str:
    changes: dict[str, Any] = {name: value}
    portrait = replace(person, **changes)
    return describe(portrait, np.random.default_rng(0), mention=[name], phrasing=0).base_phrases[0]


def _nearest(images_ND: Tensor, texts_CD: Tensor) -> Tensor:
    similarity = (
        torch.nn.functional.normalize(images_ND, dim=-1) @ torch.nn.functional.normalize(texts_CD, dim=-1).T
    )
    return similarity.argmax(dim=1)
