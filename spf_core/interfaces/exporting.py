"""Contract of exporters: a finished run in a form that other programs read."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spf_core.export.run import FinishedRun


class Exporter(Protocol):
    """Writes a finished run."""

    def __call__(self, run: "FinishedRun") -> None:
        """Write `run.request.out`, whole or not at all.

        What the config class says of itself holds: a file or a new folder, of a LoRA or of the whole model.
        """
