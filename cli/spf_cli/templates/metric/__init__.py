"""A metric for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import MetricConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Metric


class NewThing(MetricConfig):
    """Mean difference of brightness between two pictures, outside the region of the target."""

    name = "new-thing"
    scale: float = Field(1.0, gt=0, description="Factor of the difference.")

    def build(self) -> "Metric":
        """Build the metric."""
        from spf_cli.templates.metric.metric import NewThingMetric

        return NewThingMetric(self.scale)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
