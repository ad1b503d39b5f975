"""Magnet: only the last tokens of concepts move; sampling reads what it edits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.config.sections import SampleSection
from spf_core.sampling.sampler import sample_images
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.editors import MagnetEditor
from spf_plugins.editors.magnet import Concept, concept_of

TEXT = "an old man with red hair, wearing round glasses"


@pytest.mark.parametrize(
    ("phrase", "concept"),
    [
        ("an old man", Concept("old", "man")),
        ("wearing a round red hat", Concept("round red", "hat")),
        ("a portrait of a young woman", Concept("young", "woman")),
        ("a photo of a portrait of the man", Concept("", "man")),
        ("wearing sunglasses", Concept("", "sunglasses")),
        ("wearing", None),
        ("a photo", None),
        ("a portrait of", None),
    ],
)
def test_a_concept_is_the_last_word_with_what_is_said_of_it(phrase: str, concept: Concept | None) -> None:
    assert concept_of(phrase) == concept


def test_only_the_last_token_of_each_concept_moves(tiny_backbone: StableDiffusion) -> None:
    editor = MagnetEditor().build()
    before = tiny_backbone.encode_prompts([Prompt(TEXT)], with_target=False)
    after = editor(tiny_backbone, [TEXT, "hat", TEXT])
    moved = (after[0] - before.embeds_BLD[0]).abs().sum(-1).nonzero().flatten().tolist()
    last = [int(row.nonzero().max()) for row in before.phrase_BPL[0] if row.any()]
    assert moved == last
    assert torch.equal(after[0], after[2])
    plain = tiny_backbone.encode_prompts([Prompt("hat")], with_target=False).embeds_BLD[0]
    assert torch.equal(after[1], plain)


class Independent:
    """Magnet on the pipeline's own tokenizer and text encoder; concepts are given as (attribute, noun)."""

    def __init__(self, backbone: StableDiffusion, nouns: list[str], neighbours: int) -> None:
        self.tokenizer, self.encoder = backbone.tokenizer, backbone.pipeline().text_encoder
        self.nouns, self.neighbours = nouns, neighbours

    @torch.no_grad()
    def encoded(self, text: str) -> tuple[Tensor, int]:
        """Embeddings L D and the place of the end mark."""
        ids = self.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        return self.encoder(ids)[0][0], len(self.tokenizer(text).input_ids) - 1

    def word(self, text: str) -> Tensor:
        embeds_LD, end = self.encoded(text)
        return embeds_LD[end - 1]

    def neighbours_of(self, noun: str) -> list[str]:
        candidates = self.nouns if noun in self.nouns else [*self.nouns, noun]
        near = {each: float(F.cosine_similarity(self.word(each), self.word(noun), 0)) for each in candidates}
        return sorted(candidates, key=lambda each: -near[each])[: self.neighbours]

    def edited(self, text: str, concepts: dict[str, tuple[str, str]]) -> Tensor:
        """`concepts` by the beginning of the text that ends with each."""
        embeds_LD = self.encoded(text)[0].clone()
        for start, (attribute, noun) in concepts.items():
            own_LD, end = self.encoded(f"{attribute} {noun}".strip())
            omega = F.cosine_similarity(own_LD[end], own_LD[-1], 0)
            near = self.neighbours_of(noun)
            moved = torch.zeros_like(own_LD[0])
            for other_start, (other, _) in concepts.items():
                factor = torch.exp(0.6 - omega) if other_start == start else omega**2 - 1
                if other:
                    vectors = [self.word(f"{other} {each}") - self.word(each) for each in near]
                    moved += factor * sum(vectors) / len(vectors)
            embeds_LD[self.encoded(start)[1] - 1] += moved
        return embeds_LD


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        (
            TEXT,
            {
                "an old man": ("old", "man"),
                "an old man with red hair": ("red", "hair"),
                TEXT: ("round", "glasses"),
            },
        ),
        (
            "a portrait of a young woman, wearing sunglasses",
            {
                "a portrait of a young woman": ("young", "woman"),
                "a portrait of a young woman, wearing sunglasses": ("", "sunglasses"),
            },
        ),
        (
            "an old man, an old man, wearing a round red hat",
            {
                "an old man": ("old", "man"),
                "an old man, an old man": ("old", "man"),
                "an old man, an old man, wearing a round red hat": ("round red", "hat"),
            },
        ),
    ],
    ids=["attributes", "a bare noun", "the same concept twice"],
)
def test_concepts_move_by_their_own_attribute_and_away_from_the_others(
    tiny_backbone: StableDiffusion, text: str, concepts: dict[str, tuple[str, str]]
) -> None:
    nouns = ["woman", "hat", "glasses", "park", "style"]  # some concepts are among them, others are not
    editor = MagnetEditor(nouns=tuple(nouns), neighbours=3).build()
    expected = Independent(tiny_backbone, nouns, 3).edited(text, concepts)
    torch.testing.assert_close(editor(tiny_backbone, [text])[0], expected, rtol=1e-4, atol=1e-4)
    plain = tiny_backbone.encode_prompts([Prompt(text)], with_target=False).embeds_BLD[0]
    assert (plain - expected).abs().max() > 0.1, "the edit is far above the tolerance"


def test_sampling_reads_the_edited_text(tiny_backbone: StableDiffusion) -> None:
    options = SampleSection(steps=2, batch_size=2)
    editor = MagnetEditor().build()
    plain = sample_images(tiny_backbone, [TEXT], [0], options)
    edited = sample_images(tiny_backbone, [TEXT], [0], options, editor=editor)
    untouched = sample_images(tiny_backbone, ["hat"], [0], options, editor=editor)
    assert (np.asarray(plain[0]) != np.asarray(edited[0])).any()
    assert (
        np.asarray(sample_images(tiny_backbone, ["hat"], [0], options)[0]) == np.asarray(untouched[0])
    ).all()
