"""A reader of `NAME.shout` beside `NAME.png`, which holds the caption in capitals."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.plugins import DataReaderConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.config.sections import DatasetSection
    from spf_core.data import Caption, Reading
    from spf_core.interfaces import DataReader


class Shouted(DataReaderConfig):
    """Captions in capitals, each in a file beside its image."""

    name = "shouted"
    reads = "NAME.shout beside images"

    def build(self) -> "DataReader":
        return ShoutedReader()


class ShoutedReader:
    def recognises(self, data: str) -> bool:
        return any(Path(data).glob("*.shout"))

    def readings(self, data: str, options: "DatasetSection") -> "Iterator[Reading]":
        yield from ()

    def captions(self, data: str, options: "DatasetSection") -> "Iterator[tuple[str, Callable[[], Caption]]]":
        from spf_core.data import Caption

        for file in sorted(Path(data).glob("*.shout")):
            text = file.read_text(encoding="utf-8").strip().lower()
            yield file.name, lambda file=file, text=text: Caption(f"{file.stem}.png", text, {})


@hookimpl
def spf_register(register: Register) -> None:
    register(Shouted)
