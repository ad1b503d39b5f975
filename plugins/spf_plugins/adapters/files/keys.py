"""The keys of a LoRA file: the layer's name, and which part of the update a tensor is."""

import re
from collections.abc import Iterable

DOWN, UP, MID, ALPHA = "down", "up", "mid", "alpha"
DORA, MAGNITUDE = "dora_scale", "lora_magnitude_vector"  # LyCORIS' and kohya's word, and PEFT's
DIFF, DIFF_BIAS = "diff", "diff_b"

# In PEFT's keys, an adapter's own name may stand behind the factor.
_ENDS = tuple(
    (re.compile(rf"(.+?){end}"), role)
    for end, role in (
        (r"\.lora_(?:down|A(?:\.\w+)?)\.weight", DOWN),
        (r"\.lora_(?:up|B(?:\.\w+)?)\.weight", UP),
        (r"[._]lora(?:_linear_layer)?\.down\.weight", DOWN),
        (r"[._]lora(?:_linear_layer)?\.up\.weight", UP),
        (r"\.lora_mid\.weight", MID),
        (r"(?:\.lora(?:_linear_layer)?|_lora)?\.alpha", ALPHA),
        (r"\.dora_scale", DORA),
        (r"\.lora_magnitude_vector(?:\.\w+)*", MAGNITUDE),
        (r"\.(?:diff|w_norm)", DIFF),
        (r"\.(?:diff_b|b_norm)", DIFF_BIAS),
    )
)
_OWN_NAMES = re.compile(r"(.+)\.(hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2)")


def split(key: str) -> tuple[str, str] | None:
    """The layer's name in the file and the tensor's role; None for a key of no kind that is read."""
    if matched := _OWN_NAMES.fullmatch(key):
        return matched[1], matched[2]
    for pattern, role in _ENDS:
        if matched := pattern.fullmatch(key):
            return matched[1], role
    return None


def by_layer(keys: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Keys by the layer's name and role, and those of no kind that is read."""
    found: dict[str, dict[str, str]] = {}
    others = []
    for key in keys:
        parts = split(key)
        if parts is None or parts[1] in found.get(parts[0], {}):  # the same factor in two layouts
            others.append(key)
        else:
            found.setdefault(parts[0], {})[parts[1]] = key
    return found, others
