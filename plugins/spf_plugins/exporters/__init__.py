"""Exporters: the forms in which `spf export` writes a finished run."""

from typing import TYPE_CHECKING

from spf_core.plugins import ExporterConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Exporter


class Kohya(ExporterConfig):
    """A LoRA file in kohya's keys, which every client opens."""

    name = "kohya"
    holds = frozenset({"lora"})
    on_hub = True
    for_clients = True

    def build(self) -> "Exporter":
        """Return the exporter."""
        from spf_plugins.exporters.writers import write_lora_file

        return write_lora_file


class Diffusers(ExporterConfig):
    """A folder that diffusers loads, a LoRA or the whole pipeline, with a model card."""

    name = "diffusers"
    folder = True
    on_hub = True

    def build(self) -> "Exporter":
        """Return the exporter."""
        from spf_plugins.exporters.writers import write_diffusers_folder

        return write_diffusers_folder


class Checkpoint(ExporterConfig):
    """The whole model in one file, in the keys of the original release."""

    name = "checkpoint"
    for_clients = True
    holds = frozenset({"model"})

    def build(self) -> "Exporter":
        """Return the exporter."""
        from spf_plugins.exporters.writers import write_single_file

        return write_single_file


@hookimpl
def spf_register(register: Register) -> None:
    """Register the exporters."""
    for config in (Kohya, Diffusers, Checkpoint):
        register(config)
