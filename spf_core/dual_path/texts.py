"""What the tuned model reads: the cached texts or, where its text encoders are tuned, the same texts anew."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from spf_core.interfaces import Adapter, Backbone, TextName, TextTuning, TunesText
from spf_core.interfaces.types import Conditioning
from spf_core.utils.prompts import Prompt


def text_parameters(adapter: Adapter) -> Sequence[nn.Parameter]:
    """The adapter's parameters in text encoders; none where it leaves them as they are."""
    return adapter.text_parameters() if isinstance(adapter, TextTuning) else ()


def text_of(prompt: Prompt, name: TextName) -> str:
    """The words that a row reads under `name`."""
    return {
        "complete": prompt.complete_text,
        "base": prompt.base_text,
        "target": prompt.target_text or "",
        "empty": "",
    }[name]


def as_tuned(backbone: Backbone, adapter: Adapter, cond: Conditioning, texts: Sequence[str]) -> Conditioning:
    """`cond`, which holds what the frozen encoders read of each row's text, as the tuned model reads it.

    With gradient where the text encoders are tuned; `cond` itself where they are not.
    """
    if not text_parameters(adapter):
        return cond
    assert isinstance(backbone, TunesText), "such an adapter is attached to nothing else"
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    embeds_BLD, pooled_BD = backbone.read_texts(list(places))
    rows = torch.tensor([places[text] for text in texts], device=embeds_BLD.device)
    return replace(cond, embeds_BLD=embeds_BLD[rows], pooled_BD=pooled_BD[rows])
