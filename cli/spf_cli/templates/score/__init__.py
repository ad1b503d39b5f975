"""A score for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from spf_core.plugins import Register, ScoreConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Score


class NewThing(ScoreConfig):
    """Peak signal-to-noise ratio of the tuned picture beside the original one."""

    name = "new-thing"

    def build(self) -> "Score":
        """Build the score."""
        from spf_cli.templates.score.score import NewThingScore

        return NewThingScore()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
