"""The stages of a whole run, planned from its configuration and its rows before any work."""

from collections.abc import Sequence

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.preparation.plan import preparation_stages
from spf_core.sampling.handover import calibration_rounds
from spf_core.training.finish.distillation import STAGE as DISTILLATION
from spf_core.utils.progress import PlannedStage

TRAINING, CALIBRATION = "training", "calibrating the handover"
FORWARD_AND_BACKWARD = 3  # passes: a backward one takes about twice as long as a forward one


def run_stages(config: RunConfig, rows: Sequence[Row]) -> list[PlannedStage]:
    """Preparation, training, calibration and distillation; `rows` are those of all views."""
    train, sample = config.train, config.sample
    recorded = config.reference.recorded_states if config.reference else 0
    stages = preparation_stages(rows, config.preparation, recorded)
    if train.steps:
        reference = 1 if config.needs & {"reference", "original"} else 0
        passes = train.batch_size * train.accumulation * (FORWARD_AND_BACKWARD + reference)
        stages.append(PlannedStage(TRAINING, train.steps, "steps", passes))
    if config.calibration.enabled:
        prompts = min(config.calibration.prompts, len(rows))
        rounds = calibration_rounds(sample.handover)
        stages.append(PlannedStage(CALIBRATION, rounds, "rounds", 2 * sample.steps * prompts))
    if config.distillation.enabled:
        # A round has as many steps as sampling; for each, the teacher predicts a batch under three texts.
        passes = config.distillation.batch_size * (FORWARD_AND_BACKWARD + 3)
        stages.append(PlannedStage(DISTILLATION, config.distillation.steps, "steps", passes))
    return stages
