"""Configs of the distances that make up SPI, one per part of what may be polluted. Torch-free."""

from typing import TYPE_CHECKING

from spf_core.plugins import MetricConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Metric


class AppearanceConfig(MetricConfig):
    """Colours and edges outside the target's region: mean absolute pixel and image-gradient difference."""

    name = "appearance"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Appearance

        return Appearance()


class StructureConfig(MetricConfig):
    """Patch features outside the target's region: 1 - mean cosine."""

    name = "structure"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Structure

        return Structure()


class LayoutConfig(MetricConfig):
    """Parts outside the target's region: 1 - mean intersection over union."""

    name = "layout"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Layout

        return Layout()


class IdentityConfig(MetricConfig):
    """The person: 1 - cosine of identity embeddings."""

    name = "identity"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Identity

        return Identity()


class AttributesConfig(MetricConfig):
    """Attributes that the target may not change: mean total variation of their probabilities."""

    name = "attributes"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Attributes

        return Attributes()


METRICS = (AppearanceConfig, StructureConfig, LayoutConfig, IdentityConfig, AttributesConfig)
