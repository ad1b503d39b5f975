"""Base phrases that the user lets go: they are not held where they were, and the map covers them."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from spf_core.preparation.encoding import CachedRows
from spf_core.dual_path.control_maps import middle_attention, min_max
from spf_core.errors import ConfigError
from spf_core.interfaces import StepState
from spf_core.interfaces.types import Conditioning


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
            raise ConfigError(f"train.release: no base phrase of the training texts contains '{word}'")
    chosen = released_NP.to(rows.base.phrase_BPL.device)
    marked_NL = (rows.base.phrase_BPL * chosen[..., None]).sum(1)
    return replace(
        rows, base=_held(rows.base, chosen), complete=_held(rows.complete, chosen), released_NL=marked_NL
    )


def _held(cond: Conditioning, released_NP: Tensor) -> Conditioning:
    return replace(cond, phrase_BPL=cond.phrase_BPL * ~released_NP[..., None])


def widened(state: StepState, map_B1HW: Tensor) -> Tensor:
    """max(M, norm(A[released phrases])) by the reference path's attention, B 1 H W."""
    released_BL = state.batch.released_BL
    assert released_BL is not None, "the configuration guarantees released phrases"
    assert state.reference is not None, "the configuration guarantees a reference path"
    attention = middle_attention(state.reference.attention, released_BL[:, None], map_B1HW.shape[-2:])
    return torch.maximum(map_B1HW, min_max(attention))
