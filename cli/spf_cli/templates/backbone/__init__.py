"""A backbone for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING, Any

from pydantic import Field
from spf_core.plugins import BackboneConfig, HubPath, Register, UserPath, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Backbone


class NewThing(BackboneConfig):
    """Models of Stable Diffusion 1.5's architecture, with a noise process of their own."""

    name = "new-thing"
    path: UserPath = Field(description="Folder of a pipeline in diffusers' layout.")
    clip: HubPath | None = Field(None, description="Folder of the CLIP that measures. By default path/clip.")

    @classmethod
    def settings_for(cls, adapter: str) -> dict[str, Any]:
        """What a run on this model needs in place of a preset's settings, which are tuned on `mini`."""
        return {"optimizer": {"learning_rate": 1e-4}}

    def build(self) -> "Backbone":
        """Load the model; RunError where it cannot be used."""
        from spf_cli.templates.backbone.model import NewThingModel

        return NewThingModel(self.path, self.clip)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
