"""A tracker for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import Register, TrackerConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Tracker


class NewThing(TrackerConfig):
    """Writes the numbers of a run into a table, and its pictures beside it."""

    name = "new-thing"
    folder: str = Field("new-thing", min_length=1, description="Folder in the run.")

    def build(self) -> "Tracker":
        """Build the tracker, which writes nothing before it is started."""
        from spf_cli.templates.tracker.tracker import NewThingTracker

        return NewThingTracker(self.folder)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
