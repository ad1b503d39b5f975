"""The training rows of a run, as far as they are on this machine."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from spf_core.config.loading import parse_component
from spf_core.config.sections import DatasetSection
from spf_core.data import Row
from spf_core.errors import SpfError
from spf_core.plugins.configs import DataReaderConfig
from spf_core.plugins.discovery import Plugins
from spf_lab.report.arms import Json

Reading = Callable[[str, DatasetSection, DataReaderConfig | None], list[Row]]


def rows_of(config: Json, plugins: Plugins, read: Reading) -> list[Row]:
    """What `read` finds; none where folder or reader are not on this machine, or `config` is damaged."""
    data, chosen = config.get("data"), config.get("reader")
    try:
        if not isinstance(data, str) or not Path(data).exists():
            return []
        reader = parse_component(plugins, "data-reader", chosen, "reader") if chosen else None
        assert isinstance(reader, DataReaderConfig | None), "of that kind"
        return read(data, DatasetSection.model_validate(config.get("dataset") or {}), reader)
    except (SpfError, ValidationError, OSError):
        return []
