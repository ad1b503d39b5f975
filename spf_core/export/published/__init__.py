"""Published settings of Stable Diffusion 1.5 and SDXL: pipeline folders without weights and tokenizers."""

from importlib.resources import files
from pathlib import Path


def settings_of(name: str) -> Path:
    """The folder of `sd15` or `sdxl`."""
    return Path(str(files(__name__))) / name
