"""The model: what differs from Stable Diffusion 1.5, whose backbone does the rest.

A model of another architecture implements `spf_core.interfaces.Backbone` itself; spf_plugins.backbones shows
how for a UNet and for a transformer. `spf_core.helpers` has the attention sites of both.
"""

from pathlib import Path
from typing import Any

from spf_plugins.backbones.stable_diffusion import StableDiffusion


class NewThingModel(StableDiffusion):
    """A `StableDiffusionPipeline` with a CLIP; satisfies `spf_core.interfaces.Backbone`."""

    def __init__(self, folder: str, clip: str | None) -> None:
        super().__init__(Path(folder), Path(clip) if clip else None)

    def make_scheduler(self, loaded: Any) -> Any:
        """The scheduler to train and to sample with: that of the folder, with SD 1.5's own spacing of noise.

        Another `prediction_type`, such as "v_prediction", goes here, too.
        """
        return type(loaded).from_config(loaded.config, beta_schedule="scaled_linear")
