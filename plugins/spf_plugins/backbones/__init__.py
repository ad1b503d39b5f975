"""Backbones: text-to-image models with everything training and sampling need around them."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from spf_core.components import BackboneConfig
from spf_core.hookspecs import hookimpl


class Mini(BackboneConfig):
    """The small model of the embedded portraits: Stable Diffusion 1.5's classes at 64 x 64 pixels."""

    name = "mini"
    path: str | None = Field(
        None, description="StableDiffusionPipeline folder with clip/ inside; the packaged weights by default"
    )

    def build(self) -> Any:
        """Load the folder; RunError when it cannot be used."""
        from spf_plugins.backbones.stable_diffusion import StableDiffusion

        packaged = Path(str(files("spf_plugins"))) / "portraits" / "weights" / "mini"
        return StableDiffusion(Path(self.path) if self.path else packaged)


@hookimpl
def spf_register_backbones() -> list[type[BackboneConfig]]:
    """Register the backbones of this group."""
    return [Mini]
