"""Masks of a picture by Segment Anything (Kirillov et al. 2023, arXiv 2304.02643), prompted on a grid."""

from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoImageProcessor, SamModel

from spf_core.interfaces import Backbone
from spf_core.runs.pretrained import load, load_network, quiet

POINTS_AT_ONCE = 64  # points at once
SAME = 0.7  # IoU from which two masks are one
OFFSET = 1.0  # of the logits, for stability


class MaskFinder:
    """Distinct masks, best first, M h w bool at the resolution of the network's own masks."""

    def __init__(self, folder: Path, points: int, sure: float, stable: float) -> None:
        with quiet():
            self.model = load_network(SamModel, folder)
            self.processor = load(AutoImageProcessor, folder, backend="pil")
        self.points, self.sure, self.stable = points, sure, stable

    @torch.no_grad()
    def __call__(self, image: Image, backbone: Backbone) -> Tensor:
        """All that are sure and stable, on the CPU; none may be."""
        self.model.to(backbone.device)
        read = self.processor(images=image.convert("RGB"), return_tensors="pt")
        height, width = (int(side) for side in read["reshaped_input_sizes"][0])
        embedded = self.model.get_image_embeddings(read["pixel_values"].to(backbone.device))
        parts = torch.split(self._grid(height, width).to(backbone.device), POINTS_AT_ONCE)
        asked = [self.model(image_embeddings=embedded, input_points=part[None, :, None]) for part in parts]
        logits = torch.cat([each.pred_masks[0].flatten(0, 1) for each in asked]).float().cpu()
        quality = torch.cat([each.iou_scores[0].flatten() for each in asked]).float().cpu()
        scale = read["pixel_values"].shape[-1] / logits.shape[-1]
        inside = logits[:, : round(height / scale), : round(width / scale)]  # the rest is padding
        kept = (quality >= self.sure) & (stability(inside) >= self.stable) & (inside > 0).any(dim=(1, 2))
        return distinct((inside > 0)[kept], quality[kept])

    def _grid(self, height: int, width: int) -> Tensor:
        """Points x, y in the middle of the cells of a grid, P 2."""
        place = (torch.arange(self.points) + 0.5) / self.points
        y, x = torch.meshgrid(place * height, place * width, indexing="ij")
        return torch.stack([x, y], dim=-1).view(-1, 2)


def stability(logits_MHW: Tensor) -> Tensor:
    """IoU of each mask cut a little above and a little below its border, M."""
    small, large = ((logits_MHW > cut).sum(dim=(1, 2)) for cut in (OFFSET, -OFFSET))
    return small / large.clamp(min=1)


def distinct(masks_MHW: Tensor, quality_M: Tensor) -> Tensor:
    """The masks without near copies of a better one."""
    order = quality_M.argsort(descending=True, stable=True).tolist()
    overlap = mask_iou(masks_MHW, masks_MHW)
    kept: list[int] = []
    for place in order:
        if all(float(overlap[place, other]) < SAME for other in kept):
            kept.append(place)
    return masks_MHW[kept]


def mask_iou(first_MHW: Tensor, second_NHW: Tensor) -> Tensor:
    """Intersection over union of every two masks, M N."""
    one, other = first_MHW.flatten(1).float(), second_NHW.flatten(1).float()
    shared = one @ other.T
    return shared / (one.sum(dim=1)[:, None] + other.sum(dim=1) - shared).clamp(min=1)
