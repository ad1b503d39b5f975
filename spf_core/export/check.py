"""Which layers of a LoRA file each client finds, and whether it applies them at the file's own scale."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from torch import Tensor

from spf_core.errors import RunError, short
from spf_core.export.architecture import FAMILIES, Architecture, published
from spf_core.export.clients import (
    Pair,
    Scales,
    a1111,
    comfyui,
    diffusers,
    forge,
    invokeai,
    kohya,
    pairs_of,
)
from spf_core.export.known_names import LayerNames
from spf_core.runs.checkpoint import UNREADABLE, read_safetensors
from spf_core.utils.json_text import parse_json

_OTHERS: dict[str, Callable[[Mapping[str, Tensor], Architecture], Scales]] = {
    "ComfyUI": comfyui,
    "Forge": forge,
    "A1111": a1111,
    "InvokeAI": invokeai,
    "sd-scripts": kohya,
}
_OTHER_KINDS = (".hada_", ".lokr_", ".oft_", ".diff", ".w_norm", ".b_norm", ".lora_mid")


@dataclass(frozen=True)
class Verdict:
    """What one client makes of a file: how many layers it reads rightly, and which it does not.

    `absent` says why the client was not checked.
    """

    client: str
    matched: int = 0
    lost: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    absent: str = ""

    @property
    def faulty(self) -> bool:
        """Whether anything is lost or scaled wrongly."""
        return bool(self.lost or self.wrong)


def check_file(file: Path, base: Architecture | None = None) -> list[Verdict]:
    """Ask every client about a LoRA file; `base` is needed where the file names no published base model."""
    tensors, metadata = read_safetensors(file)
    pairs = pairs_of(tensors)
    if not pairs:
        raise RunError(
            f"'{file}' holds no LoRA: no layer has both factors; --check reads LoRA files and checkpoints"
        )
    for key in tensors:
        if any(kind in key for kind in _OTHER_KINDS):
            raise RunError(f"'{file}' holds '{key}', which is no plain LoRA; --check reads LoRA alone")
    version = metadata.get("ss_base_model_version", "").removesuffix("_v")  # kohya's word for v-prediction
    base = base or published(version or _family(pairs))
    try:
        settings = _settings(metadata)
        expected = _Expected(tensors, pairs, metadata, base)
    except UNREADABLE as error:
        reason = short(" ".join(str(error).split()))
        raise RunError(f"'{file}' has damaged metadata on its scale ({reason}); export it again") from None
    first = expected.verdict("diffusers", diffusers(tensors, settings, base), reads_dora=False)
    if base.family is None:
        return [first, *(Verdict(client, absent="opens no such base model") for client in _OTHERS)]
    read = {reader: reader(tensors, base) for reader in _OTHERS.values()}
    return [first, *(expected.verdict(client, read[reader]) for client, reader in _OTHERS.items())]


class _Expected:
    """What a file means: the layer and the scale of every pair of factors, and keys that belong to none."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        pairs: list[Pair],
        metadata: Mapping[str, str],
        base: Architecture,
    ) -> None:
        names, self.layers = LayerNames(base), {}
        belonging = {f"{pair.name}.{end}" for pair in pairs for end in ("alpha", "dora_scale")}
        for pair in pairs:
            style = pair.style, pair.style.replace("down", "up").replace("lora_A", "lora_B")
            belonging |= {pair.name + end for end in style}
            self.layers[pair.name] = names.find(pair.name)
        self.scales = {pair.name: _meant(pair, self.layers[pair.name], metadata) for pair in pairs}
        self.dora = {pair.name for pair in pairs if f"{pair.name}.dora_scale" in tensors}
        self.surplus = tuple(sorted(set(tensors) - belonging))

    def verdict(self, client: str, found: Scales, *, reads_dora: bool = True) -> Verdict:
        """Compare what a client found with what the file means."""
        lost = [name for name, layer in self.layers.items() if layer is None or layer not in found]
        wrong = [
            name
            for name, layer in self.layers.items()
            if layer in found
            and not (
                isclose(found[layer], self.scales[name], rel_tol=1e-4)
                and (reads_dora or name not in self.dora)
            )
        ]
        matched = len(self.layers) - len(lost) - len(wrong)
        return Verdict(client, matched, (*lost, *self.surplus), tuple(wrong))


def _meant(pair: Pair, layer: str | None, metadata: Mapping[str, str]) -> float:
    """The scale of the tensors' own alpha; without one, of what the metadata says; otherwise 1."""
    if pair.alpha is not None or layer is None:
        return pair.scale
    rank = len(pair.down)
    if raw := metadata.get(LORA_ADAPTER_METADATA_KEY):
        part, _, name = layer.partition(".")
        settings = parse_json(raw)
        pattern = settings.get(f"{part}.alpha_pattern") or {}
        alpha = pattern.get(name.removeprefix("text_model."), settings.get(f"{part}.lora_alpha", rank))
        return float(alpha) / rank
    if "ss_network_alpha" in metadata:
        return float(metadata["ss_network_alpha"]) / rank
    return 1.0


def _settings(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    raw = metadata.get(LORA_ADAPTER_METADATA_KEY)
    return None if raw is None else dict(parse_json(raw))


def _family(pairs: list[Pair]) -> str:
    """From the width of what cross-attention reads, where the metadata says nothing."""
    widths = {own: name for name, own in FAMILIES.items()}
    for pair in pairs:
        if pair.name.replace("_", ".").endswith(("attn2.to.k", "attn2.to.v")):
            return widths.get(pair.down.shape[1], f"with a width of {pair.down.shape[1]}")
    return "that the file does not name"
