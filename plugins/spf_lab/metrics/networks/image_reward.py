"""ImageReward (Xu et al. 2023, arXiv 2304.05977): BLIP's image-grounded text encoder and a head."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoTokenizer, BlipConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from spf_core.interfaces import Backbone, Suite
from spf_core.plugins.outside_weights import Weights
from spf_core.runs.pretrained import load, quiet
from spf_core.utils.json_text import read_json
from spf_lab.metrics.networks.files import filled, read_weights
from spf_lab.metrics.networks.judge import BATCH, Images, pixels

MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072  # of the reward over upstream's pictures
PIXEL_MEAN, PIXEL_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WIDTHS = (1024, 128, 64, 16, 1)
LENGTH = 35


class ImageReward(nn.Module):
    """The reward of pictures under their texts."""

    def __init__(self, config: Any, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.mlp = _Head(config.text_config.hidden_size, widths)

    def forward(self, pixels_B3HW: Tensor, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Normalised rewards B; attention over the text runs both ways."""
        patches_BPD = self.vision_model(pixel_values=pixels_B3HW).last_hidden_state
        read = self.text_encoder(
            input_ids=ids_BL, attention_mask=mask_BL, encoder_hidden_states=patches_BPD, is_decoder=False
        )
        reward: Tensor = self.mlp(read.last_hidden_state[:, 0])[:, 0]
        return (reward - MEAN) / DEVIATION


class _Head(nn.Module):
    """Linear layers without any activation between them, as published; dropouts keep the numbering."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, width in enumerate(widths):
            dropout = [nn.Dropout()] if place < len(widths) - 2 else []
            layers += [nn.Linear(inputs, width), *dropout]
            inputs = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        rewards: Tensor = self.layers(x)
        return rewards


def config_of(settings: dict[str, Any]) -> Any:
    """A `BlipConfig` from its plain values."""
    with quiet():
        return BlipConfig.from_dict(settings)


class RewardModel:
    """Rewards of pictures under texts, N."""

    def __init__(self, found: Weights) -> None:
        config = config_of(read_json(found.folder / "config.json"))
        weights = read_weights(found.file)
        widths = [
            len(weights[name]) for name in sorted(weights) if name.startswith("mlp.") and "weight" in name
        ]
        with quiet():
            self.module = filled(ImageReward(config, widths), weights, found.file)
            self.tokenizer = load(AutoTokenizer, found.folder)
        self.size: int = config.vision_config.image_size

    @torch.no_grad()
    def __call__(self, images: Images, texts: Sequence[str], suite: Suite, backbone: Backbone) -> Tensor:
        """Each picture under its own text."""
        self.module.to(backbone.device)
        found = []
        for start in range(0, len(images), BATCH):
            inputs = (
                _prepared(self.size, images[start : start + BATCH]),
                *self._read(texts[start : start + BATCH]),
            )
            found.append(self.module(*(part.to(backbone.device) for part in inputs)))
        return torch.cat(found).float().cpu()

    def _read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask. The first mark stays BERT's [CLS]: upstream scores with it, not with BLIP's [ENC]."""
        read = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
        )
        return read["input_ids"], read["attention_mask"]


def _prepared(size: int, images: Images) -> Tensor:
    """Shorter side to `size`, the middle cut out, CLIP's statistics."""
    cut = []
    for image in images:
        scale = size / min(image.size)
        wide, high = (max(size, round(side * scale)) for side in image.size)
        left, top = (wide - size) // 2, (high - size) // 2
        resized = image.convert("RGB").resize((wide, high), Image.Resampling.BICUBIC)
        cut.append(resized.crop((left, top, left + size, top + size)))
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_DEVIATION))
    return (pixels(cut) - mean) / deviation
