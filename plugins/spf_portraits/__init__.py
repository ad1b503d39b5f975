"""The embedded portraits: a procedural world, the small model that draws it, its judges and its suite."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import BackboneConfig, Register, SuiteConfig, UserPath, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Backbone, Suite


class Mini(BackboneConfig):
    """The small model of the embedded portraits, in Stable Diffusion 1.5's classes, at 64 x 64 pixels."""

    name = "mini"
    path: UserPath | None = Field(
        None,
        description="StableDiffusionPipeline folder that contains clip/. By default, the packaged weights.",
    )

    def build(self) -> "Backbone":
        """Load the folder; RunError when it cannot be used."""
        from spf_plugins.backbones.stable_diffusion import StableDiffusion

        packaged = Path(str(files("spf_portraits"))) / "weights" / "mini"
        return StableDiffusion(Path(self.path) if self.path else packaged)


class PortraitsConfig(SuiteConfig):
    """Procedural portraits with ground truth: training sets, unseen prompts and trained judges."""

    name = "portraits"
    backbones = ("mini",)

    judges: UserPath | None = Field(
        None, description="Folder of the judges' weights. By default, the packaged ones."
    )

    def build(self) -> "Suite":
        """Return the suite."""
        from spf_portraits.suite import PortraitsSuite

        return PortraitsSuite(self.judges)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (Mini, PortraitsConfig):
        register(config)
