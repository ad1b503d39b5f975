"""Configs of the distances that SPI averages, one for each part of an image. Torch-free."""

from typing import TYPE_CHECKING

from spf_core.plugins import MetricConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Metric


class AppearanceConfig(MetricConfig):
    """Appearance distance: mean absolute difference of colours and image gradients, outside the region."""

    name = "appearance"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Appearance

        return Appearance()


class StructureConfig(MetricConfig):
    """Structure distance: 1 - mean cosine similarity of patch features, outside the region."""

    name = "structure"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Structure

        return Structure()


class LayoutConfig(MetricConfig):
    """Layout distance: 1 - mean IoU of face and body parts, outside the region."""

    name = "layout"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Layout

        return Layout()


class IdentityConfig(MetricConfig):
    """Identity distance: 1 - cosine similarity of identity embeddings."""

    name = "identity"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Identity

        return Identity()


class AttributesConfig(MetricConfig):
    """Attribute distance: mean total variation of the probabilities of attributes beside the target."""

    name = "attributes"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import Attributes

        return Attributes()


class AttributesOutsideConfig(MetricConfig):
    """Attribute distance of what lies outside the region, for judges that read it from whole images."""

    name = "attributes-outside"

    def build(self) -> "Metric":
        """Return the metric."""
        from spf_lab.metrics.distances import AttributesOutside

        return AttributesOutside()


METRICS = (
    *(AppearanceConfig, StructureConfig, LayoutConfig, IdentityConfig),
    *(AttributesConfig, AttributesOutsideConfig),
)
