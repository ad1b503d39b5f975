"""A reward for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import Register, RewardConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Reward


class NewThing(RewardConfig):
    """Prefers colourful pictures."""

    name = "new-thing"
    scale: float = Field(1.0, gt=0, description="Factor of the colourfulness.")

    def build(self) -> "Reward":
        """Build the reward."""
        from spf_cli.templates.reward.reward import NewThingReward

        return NewThingReward(self.scale)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
