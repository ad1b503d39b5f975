"""Base phrases that the user lets go: they are not held where they were, and the map covers them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.interfaces.types import Conditioning
from spf_core.preparation.encoding import CachedRows


def with_released(rows: CachedRows, words: Sequence[str]) -> CachedRows:
    """Rows whose phrases that contain one of `words` are no base phrases any more, but marked as released.

    ConfigError for a word that no phrase of any row contains.
    """
    released_NP = torch.zeros(rows.base.phrase_BPL.shape[:2], dtype=torch.bool)
    found = set()
    for number, prompt in enumerate(rows.prompts):
        for place, (first, last) in enumerate(prompt.phrase_spans()):
            phrase = prompt.base_text[first:last].lower()
            matching = {word for word in words if word.lower() in phrase}
            released_NP[number, place] = bool(matching)
            found |= matching
    for word in words:
        if word not in found:
            raise ConfigError(
                f"train.release: no base phrase of the training texts contains '{word}'; "
                "name words of the base texts"
            )
    chosen = released_NP.to(rows.base.phrase_BPL.device)
    marked_NL = (rows.base.phrase_BPL * chosen[..., None]).sum(1)
    return replace(
        rows, base=_held(rows.base, chosen), complete=_held(rows.complete, chosen), released_NL=marked_NL
    )


def _held(cond: Conditioning, released_NP: Tensor) -> Conditioning:
    return replace(cond, phrase_BPL=cond.phrase_BPL * ~released_NP[..., None])
