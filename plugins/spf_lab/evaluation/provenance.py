"""What made an evaluation's results."""

from typing import Any

from spf_core.config.sections import SampleSection
from spf_core.interfaces import Recorded
from spf_core.runs.run import OpenRun
from spf_lab.evaluation.metrics import PurityMetrics
from spf_lab.evaluation.results import environment
from spf_lab.evaluation.statistics import RESAMPLES
from spf_lab.evaluation.subject import Subject

SAMPLING = ("steps", "guidance", "negative", "batch_size", "handover", "precision")


def provenance(
    run: OpenRun, subject: Subject, purity: PurityMetrics, options: SampleSection, seed: int
) -> dict[str, Any]:
    """Hashes of the weights, options, seeds and versions."""
    device = next(run.backbone.denoiser.parameters()).device.type
    sampling = options.model_dump(include={*SAMPLING})
    return {
        "preset": run.config.preset,
        "backbone": run.config.backbone.name,
        "model_hash": run.backbone.fingerprint(),
        "adapter_hash": run.adapter_hash,
        "training_bias": dict(subject.bias),
        "metrics": sorted(purity.built),
        "purity": purity.to_json(),
        **(subject.suite.record if isinstance(subject.suite, Recorded) else {}),
        "sampling": sampling,
        "seeds": {"evaluation": seed, "training": run.config.train.seed, "resamples": RESAMPLES},
        "environment": environment(device),
    }
