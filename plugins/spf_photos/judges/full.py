"""Judges by outside networks; one whose weights are missing is None, and its part is left out of SPI."""

from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces import Backbone
from spf_lab.metrics.networks.clip import Clip as ClipNetwork
from spf_lab.metrics.networks.faces import FaceEmbedder
from spf_lab.metrics.networks.judge import BATCH, Network
from spf_photos.judges import Ask, Case, Judges
from spf_photos.judges.answers import Remembered
from spf_photos.judges.contrast import Attributes, Clip
from spf_photos.judges.light import attention_provenance, region_by_attention
from spf_photos.judges.networks import load_networks
from spf_photos.judges.target import target_judge
from spf_photos.purity import by_parser

_NO_SUITE: Any = None  # networks take a suite, which none of these asks


def judges(case: Case) -> Judges:
    """Every judge whose weights are there."""
    options, backbone = case.options, case.backbone
    networks = load_networks(options, case.purity.left_out)
    allowed, recorded = networks.allowed(options, case.allowance), dict(networks.provenance)
    target, failures = None, dict[str, int]()
    if networks.target:
        target = target_judge(_clip(networks.target, backbone), case.target, case.positives, case.negatives)
    parts = _asked(networks.parser.parts, backbone) if networks.parser else None
    region: Ask | None = parts
    inside, side = allowed, backbone.image_size
    grid = backbone.latent_shape(side, side)[1:]
    if parts and by_parser(options, case.allowance):
        height, width = parts(case.negatives[:1]).shape[1:]
        grid = (height, width)
    else:
        region, inside = region_by_attention(case), frozenset({1})
        recorded["region"] = attention_provenance(backbone)
    return Judges(
        target=target.ask if target else None,
        calibrated=bool(target and target.calibrated),
        note=target.note if target else "",
        attributes=Attributes(_clip(networks.attributes, backbone)) if networks.attributes else None,
        features=_asked(networks.structure, backbone) if networks.structure else None,
        identity=_faces(networks.identity, backbone, failures) if networks.identity else None,
        parts=parts,
        region=region,
        region_parts=inside,
        allowed_parts=allowed,
        grid=grid,
        provenance=recorded,
        failures=failures,
    )


def _clip(network: ClipNetwork, backbone: Backbone) -> Clip:
    def texts(several: Sequence[str]) -> Tensor:
        return network.texts(several, _NO_SUITE, backbone)

    return Clip(_asked(network.images, backbone), texts, network.scale)


def _faces(embedder: FaceEmbedder, backbone: Backbone, failures: dict[str, int]) -> Ask:
    """Embeddings N D; pictures without a face are counted."""
    failures["identity"] = 0

    def each(images: Sequence[Image]) -> Tensor:
        embedded_ND = embedder.each(images, _NO_SUITE, backbone)
        failures["identity"] += int(embedded_ND.isnan().any(dim=1).sum())
        return embedded_ND

    return Remembered(each, BATCH)


def _asked(network: Network, backbone: Backbone) -> Ask:
    return Remembered(lambda images: network(list(images), _NO_SUITE, backbone), BATCH)
