"""A control map and a metric for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import ControlMapConfig, MetricConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import ControlMap, Metric


class OtsuRegion(ControlMapConfig):
    """Where the response attends to the target more than Otsu's threshold, which each image sets itself."""

    name = "otsu-region"
    needs = frozenset({"attention"})
    grow: float = Field(
        0.05, ge=0, le=0.5, description="Share of the side by which the region grows on each side."
    )
    feather: float = Field(
        0.0, ge=0, le=0.5, description="Share of the side over which the border fades. 0: a sharp border."
    )

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_otsu_region.region import OtsuRegionMap

        return OtsuRegionMap(self.grow, self.feather)


class ChangeOutside(MetricConfig):
    """Share of the change between two images that lies outside the region of the target."""

    name = "change-outside"

    def build(self) -> "Metric":
        """Build the metric."""
        from spf_otsu_region.change import ChangeOutsideMetric

        return ChangeOutsideMetric()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    for config in (OtsuRegion, ChangeOutside):
        register(config)
