"""What a cell took: training, memory, and its evaluation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.run import CONFIG_FILE
from spf_core.sampling.handover import read_calibration
from spf_core.training.finish.distillation import read_distillation
from spf_core.training.run_log import read_metrics
from spf_core.utils.special_files import refuse_special
from spf_core.utils.yaml_text import read_yaml


@dataclass(frozen=True)
class Cost:
    """Seconds of all training steps; memory is the peak of the process or of the CUDA allocator, in MiB.

    `preparation_seconds` is what came before the first step: encoding, and what the original model draws for
    the images, as long as that took when it was made, and calibration and distillation afterwards.

    `evaluation_seconds` is the time of drawing, judging and scoring; None where it was not measured.
    """

    steps: int
    seconds: float
    peak_memory_mib: float
    trainable_parameters: int
    evaluation_seconds: float | None = None
    preparation_seconds: float = 0.0

    @property
    def total_seconds(self) -> float:
        """Seconds of everything that was measured."""
        return self.preparation_seconds + self.seconds + (self.evaluation_seconds or 0.0)


def read_cost(run: Path, evaluation_seconds: float | None) -> Cost:
    """The cost of a run folder; ValueError, OSError or SafetensorError when its files are damaged.

    A run of no steps, which is the base model, has the cost of its calibration alone.
    """
    lines, calibration = read_metrics(run), read_calibration(run)
    searched = calibration.seconds if calibration else 0.0
    distillation = read_distillation(run)
    searched += distillation.seconds if distillation else 0.0
    if not read_yaml(run / CONFIG_FILE)["train"]["steps"]:
        return Cost(0, 0.0, 0.0, 0, evaluation_seconds, searched)
    if not lines:
        raise ValueError("metrics.jsonl holds no step")
    refuse_special(run / ADAPTER_FILE)
    with safe_open(run / ADAPTER_FILE, framework="numpy") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    return Cost(
        steps=len(lines),
        seconds=sum(line["seconds"] for line in lines),
        peak_memory_mib=max(line["peak_memory_mib"] for line in lines),
        trainable_parameters=sum(int(np.prod(shape)) for shape in shapes),
        evaluation_seconds=evaluation_seconds,
        preparation_seconds=lines[0].get("preparation_seconds", 0.0) + searched,
    )
