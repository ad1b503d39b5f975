"""The packages that plugins come from: what their metadata says, and which versions of spf they are made for.

Torch-free.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Literal

from spf_core import __version__
from spf_core.errors import PluginError, short

OWN = "spf"
State = Literal["loaded", "disabled", "failed"]


@dataclass(frozen=True)
class Provider:
    """An installed plugin, or a plugin file: whether spf uses it, and where not, why."""

    name: str  # of its entry point, or the path of the file
    package: str  # the distribution that brings it; empty for a file
    version: str
    state: State
    reason: str = ""

    @property
    def own(self) -> bool:
        """Whether it is spf's own."""
        return self.package.lower() == OWN

    @property
    def homepage(self) -> str:
        """The address that the package's metadata gives; empty where there is none."""
        try:
            return homepage_of(distribution(self.package)) if self.package else ""
        except PackageNotFoundError:
            return ""


def homepage_of(package: Distribution) -> str:
    """The package's homepage or, without one, its repository or any other address that it names."""
    addresses = {}
    for line in package.metadata.get_all("Project-URL") or []:
        label, _, address = str(line).partition(",")
        addresses[re.sub(r"[^a-z]", "", label.lower())] = address.strip()
    first = next(iter(addresses.values()), "")
    named = (
        addresses[each] for each in ("homepage", "repository", "source", "sourcecode") if each in addresses
    )
    older = [str(home) for home in package.metadata.get_all("Home-page") or [] if home != "UNKNOWN"]
    return next(named, "") or next(iter(older), "") or first


def refuse_other_spf(package: str, requires: Iterable[str]) -> None:
    """PluginError where a package's own requirement on spf leaves out this version.

    pip holds to the requirement when it installs; here it counts also where spf has changed since.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for line in requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != OWN:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            raise PluginError(
                f"it is made for spf{requirement.specifier}, and this is spf {__version__}; install another "
                f"version of '{short(package)}', or of spf"
            )
