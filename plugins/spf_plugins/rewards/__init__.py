"""Rewards: differentiable preferences over decoded pictures."""

from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import Register, RewardConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Reward


class ClipReward(RewardConfig):
    """How well the picture fits its complete text, by the backbone's own CLIP."""

    name = "clip-reward"
    scale: float = Field(2.5, gt=0, description="factor of the cosine")

    def build(self) -> "Reward":
        """Build the reward."""
        from spf_plugins.rewards.clip import ClipAgreement

        return ClipAgreement(self.scale)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(ClipReward)
