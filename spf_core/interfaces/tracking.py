"""What makes an optimizer, and where a run's curves and pictures go besides its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image
from torch.optim import Optimizer


class MakesOptimizer(Protocol):
    """What makes the optimizer of a run, such as `functools.partial(torch.optim.SGD, ...)`."""

    def __call__(self, groups: list[dict[str, Any]]) -> Optimizer:
        """An optimizer of these parameter groups, each with `params` and its peak learning rate `lr`.

        The schedule changes `lr` of the optimizer's groups. A checkpoint holds its `state_dict()`: tensors
        and numbers for each parameter, and plain values for each group.
        """


class Tracker(Protocol):
    """Where the numbers and pictures of a run go besides its folder.

    The main process calls it, in this order: `start`, then `log` and `pictures` in any number, then `finish`.
    Where a call raises anything after `start`, spf warns once, calls it no more, and trains on.
    """

    def start(self, run: Path, settings: Mapping[str, Any], step: int) -> None:
        """Begin to listen to the run in that folder, from the step after `step` on.

        `settings` are numbers and texts by whole names, such as `train.steps`; the data's place is left out.
        A run that resumes starts again, in a new process: what was logged beyond `step` is computed again.
        """

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step, such as `loss` and `terms/NAME`."""

    def pictures(self, step: int, pictures: Mapping[str, Image]) -> None:
        """Take the sample grids of a step by name, such as `grid`."""

    def finish(self) -> None:
        """Write what is left, and close what is open. Called also where the run ends with an error."""
