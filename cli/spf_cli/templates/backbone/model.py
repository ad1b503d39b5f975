"""The model: what differs from Stable Diffusion 1.5, whose backbone does the rest.

A model of another architecture implements `spf_core.interfaces.Backbone` itself; spf_plugins.backbones shows
how for a UNet and for a transformer. `spf_core.helpers` has the attention sites of both.
"""

from pathlib import Path

from spf_core.interfaces import NoiseProcess
from spf_plugins.backbones.noise_processes import DDPMNoise
from spf_plugins.backbones.stable_diffusion import StableDiffusion


class NewThingModel(StableDiffusion):
    """A `StableDiffusionPipeline` with a CLIP; satisfies `spf_core.interfaces.Backbone`."""

    def __init__(self, folder: str, clip: str | None) -> None:
        super().__init__(Path(folder), Path(clip) if clip else None)

    def _noise_process(self) -> NoiseProcess:
        """How images become noise: here the schedule of the pipeline's own scheduler."""
        return DDPMNoise(self.scheduler)
