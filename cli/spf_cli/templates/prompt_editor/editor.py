"""How the embeddings are changed."""

from collections.abc import Sequence

import torch
from spf_core.interfaces import Backbone, Prompt
from torch import Tensor


class NewThingEditor:
    """empty + strength (text - empty), for each token."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    @torch.no_grad()
    def __call__(self, backbone: Backbone, texts: Sequence[str]) -> Tensor:
        """Return the edited embeddings of the texts, B L D."""
        text_BLD = _embeddings(backbone, texts)
        return torch.lerp(_embeddings(backbone, [""]).expand_as(text_BLD), text_BLD, self.strength)


def _embeddings(backbone: Backbone, texts: Sequence[str]) -> Tensor:
    prompts = [Prompt(text) for text in texts]
    return backbone.encode_prompts(prompts, with_target=False).embeds_BLD
