"""Trackers: TensorBoard and Weights & Biases, by Accelerate."""

from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import Register, TrackerConfig, hookimpl
from spf_core.utils.optional_imports import optional

if TYPE_CHECKING:
    from spf_core.interfaces import Tracker

PROJECT = "spf"


class TensorBoard(TrackerConfig):
    """TensorBoard, with its files in the run's folder `trackers`."""

    name = "tensorboard"

    def build(self) -> "Tracker":
        """Return the tracker; ConfigError where tensorboard is not installed."""
        optional("torch.utils.tensorboard", self.name, f"train.trackers={self.name}")
        from spf_plugins.trackers.by_accelerate import tensorboard

        return tensorboard(PROJECT)


class WandB(TrackerConfig):
    """Weights & Biases, in whatever mode its environment asks for."""

    name = "wandb"
    project: str = Field(PROJECT, min_length=1, description="Project that the run belongs to.")
    entity: str | None = Field(None, description="User or team. By default, the one that is logged in.")

    def build(self) -> "Tracker":
        """Return the tracker; ConfigError where wandb is not installed."""
        optional(self.name, self.name, f"train.trackers={self.name}")
        from spf_plugins.trackers.by_accelerate import WandBRun

        return WandBRun(self.project, self.entity)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(TensorBoard)
    register(WandB)
