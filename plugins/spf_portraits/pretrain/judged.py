"""How well the judges do on people and attribute combinations they never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from spf_portraits.judges.networks import IdentityEmbedder, Probe, Segmenter
from spf_portraits.pretrain.data import CLASSES, RenderedSet
from spf_portraits.pretrain.loop import batches
from spf_portraits.world.spec import TARGETS


def hidden_labels(labels_NA: np.ndarray) -> np.ndarray:
    """True where the portrait's target may hide the attribute, so that no judge can tell it: (N, A)."""
    columns, targets = list(CLASSES), CLASSES["target"]
    hidden = np.zeros(labels_NA.shape, dtype=bool)
    for row, label in zip(hidden, labels_NA[:, -1], strict=True):
        if label > 0:
            row[[columns.index(name) for name in TARGETS[targets[label]].allowed_attributes]] = True
    return hidden


@torch.no_grad()
def apply(network: torch.nn.Module, images: np.ndarray) -> list[Any]:
    """Network outputs, a batch at a time, for uint8 images."""
    network.eval()
    unit = (
        torch.from_numpy(np.ascontiguousarray(images[part])).permute(0, 3, 1, 2).float() / 255
        for part in batches(len(images), 200)
    )
    return [network(batch) for batch in unit]


def probe_accuracy(probe: Probe, data: RenderedSet, images: np.ndarray) -> dict[str, float]:
    """Accuracy per label, over the portraits whose target leaves it visible."""
    outputs = apply(probe, images)
    visible = ~hidden_labels(data.labels)
    result = {}
    for column, name in enumerate(CLASSES):
        guess = torch.cat([output[name] for output in outputs]).argmax(dim=-1).numpy()
        result[name] = float((guess == data.labels[:, column])[visible[:, column]].mean())
    return rounded(result)


def segmenter_accuracy(segmenter: Segmenter, data: RenderedSet, images: np.ndarray) -> dict[str, float]:
    """Pixel accuracy and mean intersection over union of the parts."""
    assert data.parts is not None
    guess = torch.cat([output.argmax(dim=1) for output in apply(segmenter, images)]).numpy()
    truth = np.asarray(data.parts)
    overlap = [
        ((guess == part) & (truth == part)).sum() / ((guess == part) | (truth == part)).sum()
        for part in np.unique(truth)
    ]
    return rounded({"pixel_accuracy": float((guess == truth).mean()), "mean_iou": float(np.mean(overlap))})


def identity_accuracy(embedder: IdentityEmbedder, images: np.ndarray) -> dict[str, float]:
    """How often a person's other picture is the nearest, and the odds that it beats a stranger's (AUC)."""
    embedding: Tensor = torch.cat(apply(embedder, images))
    similarity = embedding @ embedding.T
    similarity.fill_diagonal_(-2)
    partner = torch.arange(len(embedding)) ^ 1
    top1 = (similarity.argmax(dim=1) == partner).float().mean()
    auc = (similarity < similarity.gather(1, partner[:, None])).float().sum(dim=1) - 1
    return rounded({"top1": float(top1), "auc": float(auc.mean() / (len(embedding) - 2))})


def measure(
    probe: Probe, segmenter: Segmenter, embedder: IdentityEmbedder, data: RenderedSet, encoded: np.ndarray
) -> dict[str, Any]:
    """Held-out accuracy on renders and on the autoencoder's version of them."""
    versions = {"renders": np.asarray(data.images), "reconstructions": encoded}
    return {
        "portraits": len(data),
        "probe": {name: probe_accuracy(probe, data, images) for name, images in versions.items()},
        "segmenter": {name: segmenter_accuracy(segmenter, data, images) for name, images in versions.items()},
        "identity": {name: identity_accuracy(embedder, images) for name, images in versions.items()},
    }


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Four decimals."""
    return {name: round(value, 4) for name, value in values.items()}
