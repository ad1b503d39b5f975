"""Which layers a low-rank adapter changes, chosen by the endings of their names or by patterns."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import nn

from spf_core.errors import ConfigError, did_you_mean
from spf_core.export.names import text_layer
from spf_core.interfaces import Backbone

if TYPE_CHECKING:
    from spf_plugins.adapters import LowRank

_IN_UNET = "Attention layers end with to_q, to_k, to_v and to_out.0"
_IN_TEXT = "Attention layers end with q_proj, k_proj, v_proj and out_proj, the others with fc1 and fc2"


def find_targets(backbone: Backbone, config: "LowRank") -> list[str]:
    """Names of the layers that `config` adapts; ConfigError for a target that no layer has."""
    layers, which = _adaptable(backbone.denoiser), config.attention
    where = "" if which == "both" else f" in {which}-attention"
    endings = _endings(layers) - {"0"} | {"to_out.0"}
    inside = _attention_layers(backbone)
    blocks = None if which == "both" else tuple(f"{name}." for name, kind in inside.items() if kind == which)
    within = layers if blocks is None else [name for name in layers if name.startswith(blocks)]
    return _matching(within, config.targets, f"adapter.targets: no layer{where}", endings, _IN_UNET)


def _attention_layers(backbone: Backbone) -> dict[str, str]:
    """The denoiser's attention layers by name: `cross` where image queries meet text keys, else `self`."""
    cross = {site.name for site in backbone.attention_sites()}
    return {
        name: "cross" if name in cross else "self"
        for name, module in backbone.denoiser.named_modules()
        if hasattr(module, "set_processor") and hasattr(module, "to_q")
    }


def find_text_targets(encoders: Mapping[str, nn.Module], targets: Sequence[str]) -> dict[str, list[str]]:
    """Names of the layers to be adapted in each encoder; ConfigError for a target that none of them has.

    Targets are compared with names below `text_model.`, whether transformers nests the layers there or not.
    """
    named = {part: {text_layer(name): name for name in _adaptable(model)} for part, model in encoders.items()}
    layers = list(dict.fromkeys(layer for names in named.values() for layer in names))
    place = "adapter.text_encoder_targets: no layer of the text encoder"
    found = _matching(layers, targets, place, _endings(layers), _IN_TEXT)
    return {part: [names[layer] for layer in found if layer in names] for part, names in named.items()}


def _adaptable(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def _endings(layers: Sequence[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in layers}


def _matching(
    layers: Sequence[str], targets: Sequence[str], nothing: str, endings: Collection[str], hint: str
) -> list[str]:
    found: list[str] = []
    for target in targets:
        matches = [name for name in layers if _matches(name, target)]
        if not matches:
            how = "matches" if _is_pattern(target) else "ends with"
            raise ConfigError(f"{nothing} {how} '{target}'.{did_you_mean(target, endings)} {hint}")
        found += matches
    return list(dict.fromkeys(found))


def _is_pattern(target: str) -> bool:
    return any(sign in target for sign in "*?[")


def _matches(name: str, target: str) -> bool:
    return fnmatchcase(name, target) if _is_pattern(target) else f".{name}".endswith(f".{target}")
