"""Magnet: binding vectors on a prompt's words, without training (Zhuang et al. 2024, arXiv 2409.19967)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import Backbone
from spf_core.prompts import Prompt

_LEFT_OUT = frozenset({"a", "an", "the", "of", "wearing", "having"})


@dataclass(frozen=True)
class Concept:
    """A noun with what is said of it; both may take several words."""

    attribute: str
    noun: str

    @property
    def text(self) -> str:
        """Attribute and noun."""
        return f"{self.attribute} {self.noun}"


def concept_of(phrase: str) -> Concept | None:
    """The phrase's last word with the words before it; None when nothing is said of it."""
    words = [word for word in phrase.split() if word.lower() not in _LEFT_OUT]
    return Concept(" ".join(words[:-1]), words[-1]) if len(words) > 1 else None


class Magnet:
    """Adds alpha v_positive - sum beta v_negative to the embedding of each concept's last token.

    With F(p) the contextual embedding of a text's last word, n_k the K nouns nearest to the concept's noun,
    and omega the cosine of the embeddings of the end mark and the last padding in the concept's own text:
    v_positive = mean_k F(attribute n_k) - F(n_k), alpha = exp(0.6 - omega), beta = 1 - omega^2, and each
    other concept's attribute gives one v_negative = F(other attribute, noun) - F(noun).
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
        found = [(row, concept_of(phrase)) for row, phrase in enumerate(phrases)]
        concepts = [(row, concept) for row, concept in found if concept is not None]
        for row, concept in concepts:
            others = [other for _, other in concepts if other != concept]
            tokens = cond.phrase_BPL[0, row].nonzero().flatten()
            if len(tokens):
                embeds_1LD[0, tokens[-1]] += self._binding(backbone, concept, others)
        return embeds_1LD

    def _binding(self, backbone: Backbone, concept: Concept, others: Sequence[Concept]) -> Tensor:
        omega = _end_to_padding(backbone, concept.text)
        alpha, beta = torch.exp(0.6 - omega), 1 - omega**2
        nouns = self._nearest(backbone, concept.noun)
        pull = _attribute_vectors(backbone, concept.attribute, nouns).mean(0)
        push = [_attribute_vectors(backbone, other.attribute, [concept.noun])[0] for other in others]
        return alpha * pull - beta * torch.stack(push).sum(0) if push else alpha * pull

    def _nearest(self, backbone: Backbone, noun: str) -> list[str]:
        if noun not in self._near:
            embeds = F.normalize(_last_words(backbone, [noun, *self.nouns]), dim=-1)
            order = (embeds[1:] @ embeds[0]).argsort(descending=True)
            self._near[noun] = [self.nouns[place] for place in order[: self.neighbours].tolist()]
        return self._near[noun]


def _attribute_vectors(backbone: Backbone, attribute: str, nouns: Sequence[str]) -> Tensor:
    """F(attribute noun) - F(noun) for each noun."""
    return _last_words(backbone, [f"{attribute} {noun}" for noun in nouns]) - _last_words(backbone, nouns)


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
