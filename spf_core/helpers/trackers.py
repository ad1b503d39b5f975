"""Trackers that Accelerate has, or that are written for it, as trackers of spf."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.Image import Image

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker


class AccelerateTracker:
    """A tracker of Accelerate that satisfies `interfaces.Tracker`.

    `make` gets the run folder and the step that the run goes on from, and returns the
    `accelerate.tracking.GeneralTracker`. `image_options` go to its `log_images`, where it has that method.
    """

    def __init__(self, make: "Callable[[Path, int], GeneralTracker]", **image_options: Any) -> None:
        self._make, self._image_options = make, image_options
        self._tracker: Any = None

    def start(self, run: Path, settings: Mapping[str, Any], step: int) -> None:
        """Make the tracker, and store the settings."""
        self._tracker = self._make(run, step)
        if hasattr(self._tracker, "start"):  # those of Accelerate before 1.8 start when they are made
            self._tracker.start()
        self._tracker.store_init_configuration(dict(settings))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        self._tracker.log(dict(numbers), step=step)

    def pictures(self, step: int, pictures: Mapping[str, Image]) -> None:
        """Log pictures as `samples/NAME`, 1 H W 3."""
        if hasattr(self._tracker, "log_images"):
            arrays = {f"samples/{name}": np.asarray(picture)[None] for name, picture in pictures.items()}
            self._tracker.log_images(arrays, step=step, **self._image_options)

    def finish(self) -> None:
        """Close the tracker; Accelerate's `end_training` would also end the processes' connection."""
        self._tracker.finish()
