"""Magnet: binding vectors on a prompt's words, without training (Zhuang et al. 2024, arXiv 2409.19967).

What the paper leaves open is as in the published code (github.com/I2-Multimedia-Lab/Magnet): nouns of which
nothing is said are concepts too, and a concept's noun is one of its own neighbours. That code finds concepts
with a parser; here each phrase of the prompt holds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import Backbone
from spf_core.utils.prompts import Prompt

_LEFT_OUT = frozenset({"a", "an", "the", "wearing", "having"})
# Nouns that only lead up to what a picture shows; alone they are no concept in the published code either.
_LEADING = frozenset({"photo", "bunch", "bunches", "front", "patch", "side", "pile", "piece"})


@dataclass(frozen=True)
class Concept:
    """A noun with what is said of it, which may take several words or none."""

    attribute: str
    noun: str

    @property
    def text(self) -> str:
        """Attribute and noun."""
        return self.on(self.noun)

    def on(self, noun: str) -> str:
        """The attribute with another noun."""
        return f"{self.attribute} {noun}" if self.attribute else noun


def concept_of(phrase: str) -> Concept | None:
    """The phrase's last word with the words before it, from the last "of" on; None when there is no noun."""
    words = phrase.split()
    after = max((place for place, word in enumerate(words) if word.lower() == "of"), default=-1) + 1
    kept = [word for word in words[after:] if word.lower() not in _LEFT_OUT]
    if not kept or (len(kept) == 1 and kept[0].lower() in _LEADING):
        return None
    return Concept(" ".join(kept[:-1]), kept[-1])


class Magnet:
    """Adds alpha v_positive - beta sum v_negative to the embedding of each concept's last token.

    With F(p) the contextual embedding of a text's last word, n_k the K nouns nearest to the concept's noun,
    itself the first of them, and omega the cosine of the embeddings of the end mark and the last padding in
    the concept's own text: v_positive = mean_k F(attribute n_k) - F(n_k), alpha = exp(0.6 - omega), beta =
    1 - omega^2, and the attribute of each other concept that has one gives a v_negative =
    mean_k F(other attribute n_k) - F(n_k).
    """

    def __init__(self, neighbours: int, nouns: Sequence[str]) -> None:
        self.neighbours, self.nouns = neighbours, tuple(nouns)
        self._near: dict[str, list[str]] = {}

    def __call__(self, backbone: Backbone, texts: Sequence[str]) -> Tensor:
        """Return the edited embeddings of the texts, B L D."""
        edited = [self._edited(backbone, text) for text in dict.fromkeys(texts)]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        return torch.cat(edited)[[places[text] for text in texts]]

    def _edited(self, backbone: Backbone, text: str) -> Tensor:
        prompt = Prompt(text)
        cond = backbone.encode_prompts([prompt], with_target=False)
        embeds_1LD = cond.embeds_BLD.clone()
        phrases = [text[first:last] for first, last in prompt.phrase_spans()]
        found = {row: concept_of(phrase) for row, phrase in enumerate(phrases)}
        concepts = {row: concept for row, concept in found.items() if concept is not None}
        for row, concept in concepts.items():
            others = [other for place, other in concepts.items() if place != row]
            tokens = cond.phrase_BPL[0, row].nonzero().flatten()
            if len(tokens):
                embeds_1LD[0, tokens[-1]] += self._binding(backbone, concept, others)
        return embeds_1LD

    def _binding(self, backbone: Backbone, concept: Concept, others: Sequence[Concept]) -> Tensor:
        omega = _end_to_padding(backbone, concept.text)
        alpha, beta = torch.exp(0.6 - omega), 1 - omega**2
        nouns = self._nearest(backbone, concept.noun)
        plain_KD = _last_words(backbone, nouns)
        pull, *push = [
            (_last_words(backbone, [each.on(noun) for noun in nouns]) - plain_KD).mean(0)
            for each in (concept, *(other for other in others if other.attribute))
        ]
        return alpha * pull - beta * sum(push, torch.zeros_like(pull))

    def _nearest(self, backbone: Backbone, noun: str) -> list[str]:
        """The K nearest of the nouns and the noun itself."""
        if noun not in self._near:
            nouns = list(dict.fromkeys([noun, *self.nouns]))
            embeds = F.normalize(_last_words(backbone, nouns), dim=-1)
            order = (embeds @ embeds[0]).argsort(descending=True)
            self._near[noun] = [nouns[place] for place in order[: self.neighbours].tolist()]
        return self._near[noun]


def _last_words(backbone: Backbone, texts: Sequence[str]) -> Tensor:
    """F: embeddings of the last token before the end mark, N D."""
    cond = backbone.encode_prompts([Prompt(text) for text in texts], with_target=False)
    ends = (cond.pad_BL > 0).int().argmax(1)
    return cond.embeds_BLD[torch.arange(len(texts), device=ends.device), ends - 1]


def _end_to_padding(backbone: Backbone, text: str) -> Tensor:
    """omega: cosine between the end mark and the last padding."""
    cond = backbone.encode_prompts([Prompt(text)], with_target=False)
    end = int((cond.pad_BL[0] > 0).int().argmax())
    return F.cosine_similarity(cond.embeds_BLD[0, end], cond.embeds_BLD[0, -1], dim=-1)
