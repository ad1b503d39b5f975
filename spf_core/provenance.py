"""What made a run: where it was started, from which data, with which plugins, and what changed since.

It lies in the run folder alone. Weights, checkpoints, pictures and reports are passed on to others, so no
path of this machine stands in them. Torch-free.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from spf_core import __version__
from spf_core.atomic import atomic_write_text
from spf_core.errors import RunError
from spf_core.validation import explain

PROVENANCE_FILE = "provenance.json"


class _Record(BaseModel):
    """A part of the file. A run of a later version may record more: what is unknown here is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Provenance(_Record):
    """What `provenance.json` of a run folder holds.

    `started_in` is the folder that relative paths of the configuration start from. `events` are sentences
    about the run's history, the oldest first: an extension, data that changed and was accepted.
    """

    spf: str = __version__
    started_in: str
    events: tuple[str, ...] = ()

    def with_event(self, sentence: str) -> "Provenance":
        """The same with one more sentence about what happened to the run."""
        return self.model_copy(update={"events": (*self.events, sentence)})

    def write(self, run: Path) -> None:
        """Write the file into the run folder, whole or not at all."""
        atomic_write_text(run / PROVENANCE_FILE, self.model_dump_json(indent=2) + "\n")


def read_provenance(run: Path) -> Provenance | None:
    """What made the run; None for a run of a version that recorded nothing. RunError when it is damaged."""
    file = run / PROVENANCE_FILE
    try:
        return Provenance.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise RunError(
            f"'{file}' is damaged ({explain(error, '', Provenance)}); delete it: relative paths of the run "
            "then start from the current folder"
        ) from None
