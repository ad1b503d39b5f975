"""Load the trained judges and ask them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from spf_core.errors import RunError
from spf_core.runs.checkpoint import read_safetensors
from spf_core.utils.json_text import read_json
from spf_portraits.judges.networks import IdentityEmbedder, Probe, Segmenter

Network = TypeVar("Network", bound=nn.Module)
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "weights" / "judges"
CEILING_FILE = "ceiling.json"


@dataclass(frozen=True)
class Judges:
    """The attribute probe, the part segmenter and the identity embedder, frozen.

    Images are float (B, 3, H, W) in [0, 1]; other sizes than 64 x 64 are resized.
    """

    classes: dict[str, tuple[str, ...]]
    parts: tuple[str, ...]
    accuracy: dict[str, Any]
    device: torch.device
    _probe: Probe
    _segmenter: Segmenter
    _identity: IdentityEmbedder

    @torch.no_grad()
    def probe(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """Probabilities (B, K) of every attribute's values and of `target`, in the order of `classes`."""
        logits = self._probe(images_B3HW.to(self.device))
        return {name: values.softmax(dim=-1) for name, values in logits.items()}

    def labels(self, images_B3HW: Tensor) -> list[dict[str, str]]:
        """The most probable value of every attribute and of `target`, an image at a time."""
        best = {name: values.argmax(dim=-1).tolist() for name, values in self.probe(images_B3HW).items()}
        return [
            {name: self.classes[name][index[image]] for name, index in best.items()}
            for image in range(len(images_B3HW))
        ]

    @torch.no_grad()
    def segment(self, images_B3HW: Tensor) -> Tensor:
        """Part numbers (B, 64, 64), indices into `parts`."""
        segmented: Tensor = self._segmenter(images_B3HW.to(self.device)).argmax(dim=1)
        return segmented

    @torch.no_grad()
    def features(self, images_B3HW: Tensor) -> Tensor:
        """Activations (B, 96, 8, 8) of the attribute probe: one vector for each patch of 8 x 8 pixels."""
        activations: Tensor = self._probe.features(images_B3HW.to(self.device))
        return activations

    @torch.no_grad()
    def identity(self, images_B3HW: Tensor) -> Tensor:
        """Unit-norm embeddings (B, 64): the cosine of two tells how alike the persons are."""
        embedding: Tensor = self._identity(images_B3HW.to(self.device))
        return embedding


def load_judges(folder: Path | None = None, device: torch.device | str = "cpu") -> Judges:
    """Read the judges that come with the project, or those in `folder`.

    Raises:
        RunError: the folder holds no judges.
    """
    folder = folder or DEFAULT_FOLDER
    path = folder / "config.json"
    if not path.exists():
        raise RunError(f"no judges in '{folder}' (no config.json). Leave it out for the built-in ones")
    config = read_json(path)
    classes = {name: tuple(values) for name, values in config["classes"].items()}
    parts = tuple(config["parts"])
    return Judges(
        classes=classes,
        parts=parts,
        accuracy=config["accuracy"],
        device=torch.device(device),
        _probe=_restore(Probe(classes), folder / "probe.safetensors", device),
        _segmenter=_restore(Segmenter(len(parts)), folder / "segmenter.safetensors", device),
        _identity=_restore(IdentityEmbedder(), folder / "identity.safetensors", device),
    )


def _restore(network: Network, path: Path, device: torch.device | str) -> Network:
    weights = {name: value.float() for name, value in read_safetensors(path)[0].items()}
    network.load_state_dict(weights)
    return network.to(device).eval().requires_grad_(False)
