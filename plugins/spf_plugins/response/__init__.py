"""Response enhancement: terms that keep the target strong while everything else is aligned."""

from typing import Any

from pydantic import Field

from spf_core.components import ResponseConfig
from spf_core.hookspecs import hookimpl


class ClipDirection(ResponseConfig):
    """The one-step clean estimate moves from the target's text like the training image does (variant A)."""

    name = "clip-direction"
    needs = frozenset({"clean_image"})
    max_timestep: float = Field(
        0.6, gt=0, le=1, description="only rows with t below this fraction of the schedule"
    )

    def build(self) -> Any:
        """Build the term."""
        from spf_plugins.response.clip_direction import ClipDirectionEnhancement

        return ClipDirectionEnhancement(self.max_timestep)


@hookimpl
def spf_register_response_enhancers() -> list[type[ResponseConfig]]:
    """Register the response enhancements of this group."""
    return [ClipDirection]
