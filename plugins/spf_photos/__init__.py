"""Photographs: portrait prompts, and a suite judged by published networks or by parts of the base model."""

from spf_core.plugins import Register, hookimpl
from spf_photos.options import PhotosConfig


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(PhotosConfig)
