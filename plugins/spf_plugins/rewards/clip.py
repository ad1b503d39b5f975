"""Agreement of picture and text in CLIP's space."""

from collections.abc import Sequence

from torch import Tensor

from spf_core.interfaces import Backbone
from spf_core.utils.prompts import Prompt


class ClipAgreement:
    """scale cos(E_I(x), E_T(complete text)); the scale is CLIPScore's (Hessel et al. 2021)."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, backbone: Backbone, images_B3HW: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Return B rewards, differentiable in the pixels."""
        texts = backbone.embed_texts([prompt.complete_text for prompt in prompts])
        return self.scale * (backbone.embed_images(images_B3HW) * texts).sum(-1)
