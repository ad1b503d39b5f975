"""Judges by outside networks; one whose weights are missing is None, and its part is left out of SPI."""

from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from spf_lab.metrics.networks.clip import Clip as ClipNetwork
from spf_lab.metrics.networks.judge import BATCH, Network
from spf_lab.metrics.networks.transformers import MERGED, Parser, dino_patches
from spf_photos.judges import Ask, Case, Judges
from spf_photos.judges.answers import Remembered
from spf_photos.judges.contrast import Attributes, Clip
from spf_photos.judges.light import attention_provenance, region_by_attention
from spf_photos.judges.target import TargetJudge, target_judge
from spf_photos.options import IdentityWeights, JudgeWeights
from spf_photos.purity import by_parser

_NO_SUITE: Any = None  # networks take a suite, which none of these asks


def judges(case: Case) -> Judges:
    """Every judge whose weights are there."""
    return _Loader(case).judges()


class _Loader:
    def __init__(self, case: Case) -> None:
        self.case, self.options, self.backbone = case, case.options, case.backbone
        self.left_out = case.purity.left_out
        self.provenance: dict[str, Any] = {}
        self.failures: dict[str, int] = {}

    def judges(self) -> Judges:
        target = self._target()
        parser = (
            None if "layout" in self.left_out else Parser(self._found("parser", self.options.parser).folder)
        )
        parts = self._asked(parser.parts) if parser else None
        region, inside, grid = self._region(parser, parts)
        return Judges(
            target=target.ask if target else None,
            calibrated=bool(target and target.calibrated),
            note=target.note if target else "",
            attributes=None if "attributes" in self.left_out else Attributes(self._clip("attributes")),
            features=self._features(),
            identity=self._identity(),
            parts=parts,
            region=region,
            region_parts=inside,
            allowed_parts=_numbers(case=self.case, parser=parser),
            grid=grid,
            provenance=self.provenance,
            failures=self.failures,
        )

    def _target(self) -> TargetJudge | None:
        if "target" in self.left_out:
            return None
        case = self.case
        return target_judge(self._clip("target"), case.target, case.positives, case.negatives)

    def _clip(self, judge: str) -> Clip:
        weights: JudgeWeights = getattr(self.options, judge)
        network = ClipNetwork(self._found(judge, weights).folder)

        def texts(several: Sequence[str]) -> Tensor:
            return network.texts(several, _NO_SUITE, self.backbone)

        return Clip(self._asked(network.images), texts, network.scale)

    def _features(self) -> Ask | None:
        if "structure" in self.left_out:
            return None
        return self._asked(dino_patches(self._found("structure", self.options.structure).folder))

    def _identity(self) -> Ask | None:
        if "identity" in self.left_out:
            return None
        from spf_lab.metrics.networks.faces import FaceEmbedder, YuNet
        from spf_lab.metrics.networks.iresnet import load_iresnet

        chosen: IdentityWeights = self.options.identity
        finds = chosen.alignment == "detect"
        settings = {"alignment": chosen.alignment, "threshold": chosen.threshold, "detector": chosen.detector}
        found = self._found("identity", chosen, **settings)
        detector = YuNet(chosen.detector, chosen.threshold) if finds else None
        network = load_iresnet(found.file)
        embedder, width = FaceEmbedder(network, detector), network.fc.out_features

        def each(images: Sequence[Image]) -> Tensor:
            embedded_ND = embedder.each(images, _NO_SUITE, self.backbone)
            faceless = int(embedded_ND.isnan().any(dim=1).sum())
            self.failures["identity"] = self.failures.get("identity", 0) + faceless
            return embedded_ND if embedded_ND.shape[1] == width else embedded_ND.expand(-1, width)

        self.failures["identity"] = 0
        return Remembered(each, BATCH)

    def _region(
        self, parser: Parser | None, parts: Ask | None
    ) -> tuple[Ask | None, frozenset[int], tuple[int, int]]:
        """Who finds the region, which of its numbers are inside, and its height and width."""
        side = self.backbone.image_size
        if parser is not None and parts is not None and by_parser(self.options, self.case.allowance):
            shown = parts(self.case.negatives[:1])
            return parts, _numbers(case=self.case, parser=parser), (shown.shape[1], shown.shape[2])
        latents = self.backbone.latent_shape(side, side)[1:]
        found = region_by_attention(self.case)
        if found is not None:
            self.provenance["region"] = attention_provenance(self.backbone)
        return found, frozenset({1}), latents

    def _found(self, judge: str, weights: JudgeWeights, **settings: Any) -> Any:
        found = weights.locate()
        self.provenance[judge] = {**found.provenance(**settings), "licence": weights.licence}
        return found

    def _asked(self, network: Network) -> Ask:
        return Remembered(lambda images: network(list(images), _NO_SUITE, self.backbone), BATCH)


def _numbers(case: Case, parser: Parser | None) -> frozenset[int]:
    """Class numbers of the allowed parts; of those that words imply, the ones that the parser has."""
    if parser is None:
        return frozenset()
    parts = tuple(sorted(case.allowance.parts))
    if case.options.allowed_parts is None:
        parts = tuple(part for part in parts if MERGED.get(part, part) in parser.names)
    return parser.numbers(parts)
