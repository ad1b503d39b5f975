"""Magnet: only the last tokens of concepts move; sampling reads what it edits."""

import numpy as np
import torch

from spf_core.prompts import Prompt
from spf_core.sampling import sample_images
from spf_core.sections import SampleSection
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.editors import MagnetEditor
from spf_plugins.editors.magnet import Concept, concept_of

TEXT = "an old man with red hair, wearing round glasses"


def test_a_concept_is_the_last_word_with_what_is_said_of_it() -> None:
    assert concept_of("a portrait of an old man") == Concept("portrait old", "man")
    assert concept_of("wearing round glasses") == Concept("round", "glasses")
    assert concept_of("a hat") is None


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
