"""The versions that a bug report needs. Torch-free."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from spf_core import __version__
from spf_core.plugins.discovery import packages_of_others

LIBRARIES = ("torch", "diffusers", "transformers", "peft")


def report() -> Iterator[str]:
    """Lines of `spf --version`, the first `spf VERSION`. They come from metadata; no library is imported."""
    yield f"spf {__version__}"
    yield f"python {platform.python_version()}"
    yield f"platform {platform.platform()}"
    for library in LIBRARIES:
        yield f"{library} {installed_version(library) or 'not installed'}"
    for name, its_version in packages_of_others():
        yield f"plugin {name} {its_version}"


def installed_version(package: str) -> str | None:
    """The version in the package's metadata; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
