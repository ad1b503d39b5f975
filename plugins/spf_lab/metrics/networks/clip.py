"""A CLIP or SigLIP model in transformers' format."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, SiglipModel

from spf_core.interfaces import Backbone, Suite
from spf_core.runs.pretrained import load, load_network, quiet
from spf_core.utils.json_text import read_json
from spf_lab.metrics.networks.judge import BATCH, Images, Network


def unit(output: Any) -> Tensor:
    """L2-normalised features, from a tensor or from the output object of transformers 5."""
    return F.normalize(getattr(output, "pooler_output", output).float(), dim=-1)


_MODELS = {"clip": CLIPModel, "siglip": SiglipModel}  # SigLIP 2 at a fixed resolution is a SigLIP


class Clip:
    """`images` and `texts` are unit-norm projected embeddings, N D."""

    def __init__(self, folder: Path) -> None:
        with quiet():
            kind = _kind(folder)
            self.model = load_network(_MODELS.get(kind, CLIPModel), folder)
            self.tokenizer = load(AutoTokenizer, folder)
            self.prepare = partial(processed, load(AutoImageProcessor, folder, backend="pil"))
        self._lower = kind == "siglip"  # it was trained on lower case alone
        self.length: int = self.model.config.text_config.max_position_embeddings
        self.images = Network(self.model, self.prepare, self._image_features)

    @torch.no_grad()
    def texts(self, texts: Sequence[str], suite: Suite, backbone: Backbone) -> Tensor:
        """Embeddings of texts, truncated to the length the model reads; on the CPU."""
        self.model.to(backbone.device)
        ids_NL = self.ids(texts).to(backbone.device)
        parts = [self.model.get_text_features(input_ids=part) for part in torch.split(ids_NL, BATCH)]
        return torch.cat([unit(part) for part in parts]).cpu()

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids N L, padded and truncated."""
        encoded = self.tokenizer(
            [text.lower() if self._lower else text for text in texts],
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        ids_NL: Tensor = encoded["input_ids"]
        return ids_NL

    def truncated(self, texts: Sequence[str], backbone: Backbone) -> str:
        """A note on the texts that lose their end, or nothing."""
        lengths = [len(ids) for ids in self.tokenizer(list(texts), verbose=False)["input_ids"]]
        return cut_note(lengths, self.length)

    @property
    def scale(self) -> float:
        """What the model multiplies cosines by."""
        return float(self.model.logit_scale.exp())

    def _image_features(self, pixels_B3HW: Tensor) -> Tensor:
        return unit(self.model.get_image_features(pixel_values=pixels_B3HW))


def _kind(folder: Path) -> str:
    """The kind of model that config.json names; what is wrong with the file is said when it is loaded."""
    try:
        return str(read_json(folder / "config.json").get("model_type"))
    except (OSError, ValueError, AttributeError):
        return ""


def cut_note(lengths: Sequence[int], limit: int) -> str:
    """How many texts are longer than a model reads, or nothing."""
    count = sum(length > limit for length in lengths)
    return f"{count} of {len(lengths)} texts cut to {limit} tokens" if count else ""


def processed(processor: Any, images: Images) -> Tensor:
    """Pixels B 3 H W as the model's own preprocessing gives them."""
    pixels_B3HW: Tensor = processor(images=list(images), return_tensors="pt")["pixel_values"]
    return pixels_B3HW
