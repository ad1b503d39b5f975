"""Which metrics make SPI, and what it is called: a part whose judge is missing is left out. Torch-free."""

from typing import TYPE_CHECKING

from spf_core.interfaces import PuritySet
from spf_photos.targets import Allowance

if TYPE_CHECKING:
    from spf_photos.options import JudgeWeights, PhotosConfig

LIGHT = PuritySet("photos-light-1", ("appearance", "structure", "attributes-outside"), mark="light")
FULL, PARTS = "photos-full-1", ("appearance", "structure", "layout", "identity", "attributes")
_METRICS = {"attributes": "attributes-outside"}  # of parts whose metric is not called as they are


def purity_of(options: "PhotosConfig", allowance: Allowance) -> PuritySet:
    """The set of `light`, or that of `full` without the parts whose weights cannot be had.

    A region that attention finds, in place of the parser, makes other numbers: the name says so.
    """
    if options.judges == "light":
        return LIGHT
    needed: dict[str, JudgeWeights] = {
        "target": options.target,
        "attributes": options.attributes,
        "structure": options.structure,
        "layout": options.parser,
        "identity": options.identity,
    }
    missing = {part: reason for part, judge in needed.items() if (reason := judge.missing())}
    kept = tuple(part for part in PARTS if part not in missing)
    mark = ",".join(kept) if len(kept) < len(PARTS) else ""
    name = f"{FULL}[{mark}]" if mark else FULL
    if not by_parser(options, allowance):
        name += ", region by attention"
    return PuritySet(name, tuple(_METRICS.get(part, part) for part in kept), mark, missing)


def by_parser(options: "PhotosConfig", allowance: Allowance) -> bool:
    """Whether the face parser finds the region: it can, and knows the parts that the target changes."""
    if options.judges == "light":
        return False
    return options.parser.missing() is None and (bool(allowance.parts) or allowance.scope == "global")
