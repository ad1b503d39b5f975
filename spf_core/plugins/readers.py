"""Which data reader reads a source: the first that recognises it. Torch-free."""

import logging
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from spf_core.errors import PluginError, SpfError, quoted
from spf_core.plugins.configs import PROTOCOL_OF, DataReaderConfig, label
from spf_core.plugins.constructing import constructed, package_of, refuse_lacking
from spf_core.plugins.containment import contained
from spf_core.plugins.discovery import Plugins, load_plugins

if TYPE_CHECKING:
    from spf_core.interfaces import DataReader

Readers = tuple[DataReaderConfig, ...]
_log = logging.getLogger("spf")


def readers_of(plugins: Plugins) -> Readers:
    """Each reader with its default options, in the order in which they are asked.

    spf's own come first, then the others by the name of their entry point, then those of plugin files. One
    whose options have no defaults is left out: it reads only where it is chosen.
    """
    found = []
    for entry in plugins.entries.values():  # in the order of loading; names would sort otherwise
        if not issubclass(entry.config, DataReaderConfig):
            continue
        try:
            found.append(contained(entry.config))
        except PluginError:
            if not entry.config.provided_by:
                raise
    return tuple(found)


@cache
def installed_readers() -> Readers:
    """The readers of this installation, loaded once for each process, for callers without a registry."""
    return readers_of(load_plugins())


def reader_for(
    data: str, readers: Iterable[DataReaderConfig], *, having: str = "recognises"
) -> DataReaderConfig | None:
    """The first of the readers that has the method `having` and recognises the source; None where none does.

    A reader of others that fails is left out with a warning. DataError where spf's own cannot look.
    """
    for reader in readers:
        try:
            if hasattr(built_reader(reader), having) and recognises(reader, data):
                return reader
        except SpfError as error:
            if not reader.provided_by:
                raise
            _log.warning("%s", error)
    return None


def recognises(config: DataReaderConfig, data: str) -> bool:
    """Whether the reader says that it reads the source; PluginError where that of a plugin fails."""
    reader = built_reader(config)
    if not config.provided_by:
        return bool(reader.recognises(data))
    what = f"{label(config)} cannot tell whether it reads {quoted(data)}"
    found = contained(lambda: reader.recognises(data), what=what, package=package_of(config))
    if not isinstance(found, bool):
        raise PluginError(f"{what}: recognises() returns {quoted(found)}; return True or False")
    return found


def built_reader(config: DataReaderConfig) -> "DataReader":
    """The reader; PluginError as of `building.built`, which reads torch for the protocols of all kinds."""

    def check(part: Any) -> Any:
        refuse_lacking(config, part, PROTOCOL_OF[config.kind], ("recognises", "readings"))
        return part

    reader: DataReader = constructed(config, check)
    return reader
