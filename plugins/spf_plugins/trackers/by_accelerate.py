"""The trackers that Accelerate brings, with what spf gives them."""

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

from spf_core.errors import ConfigError
from spf_core.helpers import AccelerateTracker

FOLDER = "trackers"


def tensorboard(project: str) -> AccelerateTracker:
    """TensorBoard in RUN/trackers/PROJECT; it drops what a killed process wrote beyond the first step."""

    def make(run: Path, step: int) -> GeneralTracker:
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        return TensorBoardTracker(project, str(run / FOLDER), purge_step=step + 1)

    return AccelerateTracker(make, dataformats="NHWC")


class WandBRun(AccelerateTracker):
    """Weights & Biases; a run that resumes goes on with the same run there."""

    def __init__(self, project: str, entity: str | None) -> None:
        def make(run: Path, step: int) -> GeneralTracker:
            place = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
            named = {"dir": str(run), "name": run.name, "id": place, "entity": entity}
            return WandBTracker(project, resume="allow", **named)

        super().__init__(make)

    def start(self, run: Path, settings: Mapping[str, Any], step: int) -> None:
        """Begin the run; ConfigError with the ways out where wandb refuses."""
        try:
            super().start(run, settings, step)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{type(error).__name__}: {reason}; leave it out of train.trackers, log in, or set "
                "WANDB_MODE=offline"
            ) from error
