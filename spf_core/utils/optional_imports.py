"""Libraries that only some settings need, imported when they do."""

from importlib import import_module
from typing import Any

from spf_core.errors import ConfigError


def optional(module: str, package: str, setting: str) -> Any:
    """An optional library; ConfigError names the setting that needs it and the package to install."""
    try:
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name in (module, package)
        lacks = "is not installed" if absent else f"cannot be imported ({error})"
        raise ConfigError(f"{setting} needs {package}, which {lacks}; pip install {package}") from None
