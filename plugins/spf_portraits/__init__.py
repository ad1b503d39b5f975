"""The embedded portraits: a procedural world, its judges, and the suite that evaluates in it."""

from typing import Any

from pydantic import Field

from spf_core.plugins.configs import SuiteConfig
from spf_core.plugins.hookspecs import hookimpl
from spf_core.utils.paths import UserPath


class PortraitsConfig(SuiteConfig):
    """Procedural portraits with ground truth: training sets, unseen prompts and trained judges."""

    name = "portraits"

    judges: UserPath | None = Field(None, description="folder of the judges' weights; built-in when absent")

    def build(self) -> Any:
        """Return the suite."""
        from spf_portraits.suite import PortraitsSuite

        return PortraitsSuite(self.judges)


@hookimpl
def spf_register_suites() -> list[type[SuiteConfig]]:
    """Return the suite `portraits`."""
    return [PortraitsConfig]
