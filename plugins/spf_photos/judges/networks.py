"""The networks of the set `full`, from the weights that the options name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spf_lab.metrics.networks.clip import Clip
from spf_lab.metrics.networks.faces import FaceEmbedder, YuNet
from spf_lab.metrics.networks.iresnet import load_iresnet
from spf_lab.metrics.networks.judge import Network
from spf_lab.metrics.networks.transformers import MERGED, Parser, dino_patches
from spf_photos.targets import Allowance

if TYPE_CHECKING:
    from spf_photos.options import IdentityWeights, JudgeWeights, PhotosConfig


@dataclass(frozen=True)
class Networks:
    """Networks by judge, None where a judge is left out; what results record of each, by option."""

    target: Clip | None
    attributes: Clip | None
    structure: Network | None
    parser: Parser | None
    identity: FaceEmbedder | None
    provenance: Mapping[str, Any]

    def allowed(self, options: "PhotosConfig", allowance: Allowance) -> frozenset[int]:
        """Class numbers of the parts that the target may change.

        Of parts that words imply, those that the parser has; Unavailable for one of the options it lacks.
        """
        if self.parser is None:
            return frozenset()
        parts = tuple(sorted(allowance.parts))
        if options.allowed_parts is None:
            parts = tuple(part for part in parts if MERGED.get(part, part) in self.parser.names)
        return self.parser.numbers(parts)


def load_networks(options: "PhotosConfig", left_out: Mapping[str, str]) -> Networks:
    """All networks but those of the parts `left_out`; RunError or Unavailable when one cannot be used."""
    recorded: dict[str, Any] = {}

    def found(weights: "JudgeWeights", **settings: Any) -> Any:
        at = weights.locate()
        recorded[weights.judge] = {**at.provenance(**settings), "licence": weights.licence}
        return at

    def clip(weights: "JudgeWeights") -> Clip:
        return Clip(found(weights).folder)

    def faces(chosen: "IdentityWeights") -> FaceEmbedder:
        aligned = chosen.alignment == "none"
        settings = chosen.model_dump(include={"alignment", "detector", "threshold"})
        network = load_iresnet(found(chosen, **settings).file)
        return FaceEmbedder(network, None if aligned else YuNet(chosen.detector, chosen.threshold))

    return Networks(
        target=None if "target" in left_out else clip(options.target),
        attributes=None if "attributes" in left_out else clip(options.attributes),
        structure=None if "structure" in left_out else dino_patches(found(options.structure).folder),
        parser=None if "layout" in left_out else Parser(found(options.parser).folder),
        identity=None if "identity" in left_out else faces(options.identity),
        provenance=recorded,
    )
