"""A data reader for spf. spf imports this module at every start, so it is free of torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import DataReaderConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import DataReader


class NewThing(DataReaderConfig):
    """Images with a JSON file that lists a caption for each."""

    name = "new-thing"
    reads = "new-thing.json, a list of objects with file_name and text"
    table: str = Field("new-thing.json", description="Name of the JSON file.")

    def build(self) -> "DataReader":
        """Build the reader."""
        from spf_cli.templates.data_reader.reader import NewThingReader

        return NewThingReader(self.table)

    def sample(self, folder: Path) -> str:
        """Write two rows for the checks of `spf plugins check`."""
        from spf_cli.templates.data_reader.reader import write_rows

        return write_rows(folder / self.table, [f"{who}, wearing a hat" for who in ("a man", "a woman")])


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
