"""Vision networks in transformers' format: DINOv2 and a SegFormer that parses faces."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, SegformerForSemanticSegmentation

from spf_core.errors import Unavailable
from spf_core.runs.pretrained import load, load_network, quiet
from spf_lab.metrics.networks.clip import processed
from spf_lab.metrics.networks.judge import Network

# Parsers confuse left and right, and the lips with the mouth; l_lip is the lower lip.
MERGED = {
    **dict.fromkeys(("l_eye", "r_eye"), "eyes"),
    **dict.fromkeys(("l_brow", "r_brow"), "brows"),
    **dict.fromkeys(("l_ear", "r_ear"), "ears"),
    **dict.fromkeys(("mouth", "u_lip", "l_lip"), "lips"),
}


def dino(folder: Path) -> Network:
    """The unit-norm CLS embedding, N D."""
    with quiet():
        model = load_network(AutoModel, folder)
        processor = load(AutoImageProcessor, folder, backend="pil")

    def read(pixels_B3HW: Tensor) -> Tensor:
        return F.normalize(model(pixel_values=pixels_B3HW).last_hidden_state[:, 0].float(), dim=-1)

    return Network(model, partial(processed, processor), read)


def dino_patches(folder: Path) -> Network:
    """Embeddings of the patches, N D h w."""
    with quiet():
        model = load_network(AutoModel, folder)
        processor = load(AutoImageProcessor, folder, backend="pil")
    patch = model.config.patch_size

    def read(pixels_B3HW: Tensor) -> Tensor:
        height, width = (side // patch for side in pixels_B3HW.shape[-2:])
        tokens_BLD = model(pixel_values=pixels_B3HW).last_hidden_state[:, -height * width :]
        patches_BDhw: Tensor = tokens_BLD.float().mT.reshape(len(tokens_BLD), -1, height, width)
        return patches_BDhw

    return Network(model, partial(processed, processor), read)


class Parser:
    """Class numbers, N H W at the resolution of the network's input; `names` are those of the classes."""

    def __init__(self, folder: Path) -> None:
        with quiet():
            self.model = load_network(SegformerForSemanticSegmentation, folder)
            processor = load(AutoImageProcessor, folder, backend="pil")
        labels = [name for _, name in sorted(self.model.config.id2label.items())]
        merged = [MERGED.get(label, label) for label in labels]
        self.names = tuple(dict.fromkeys(merged))
        self._number_K = torch.tensor([self.names.index(name) for name in merged])
        self.parts = Network(self.model, partial(processed, processor), self._read)

    def numbers(self, names: tuple[str, ...]) -> frozenset[int]:
        """Their class numbers; Unavailable for a name that the parser does not know."""
        unknown = [name for name in names if MERGED.get(name, name) not in self.names]
        if unknown:
            raise Unavailable(f"the parser has no class '{unknown[0]}'; it has {', '.join(self.names)}")
        return frozenset(self.names.index(MERGED.get(name, name)) for name in names)

    def _read(self, pixels_B3HW: Tensor) -> Tensor:
        logits = self.model(pixel_values=pixels_B3HW).logits  # at a quarter of the resolution
        full = F.interpolate(logits.float(), pixels_B3HW.shape[-2:], mode="bilinear", align_corners=False)
        return self._number_K.to(full.device)[full.argmax(dim=1)]
