"""What scores by a CLIP have in common. Torch-free."""

from typing import TYPE_CHECKING, Any, ClassVar

from spf_core.plugins import WeightedScoreConfig

if TYPE_CHECKING:
    from spf_lab.metrics.networks.clip import Clip


class ClipConfig(WeightedScoreConfig):
    """A score by a CLIP."""

    weights = "clip"
    hub: ClassVar[str | None] = "openai/clip-vit-large-patch14"
    licence = "MIT"

    def clip(self, **settings: Any) -> "tuple[Clip, dict[str, Any]]":
        """The network and its provenance, with `settings`."""
        from spf_lab.metrics.networks.clip import Clip

        found = self.locate()
        return Clip(found.folder), found.provenance(**settings)
