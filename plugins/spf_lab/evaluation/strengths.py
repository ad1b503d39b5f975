"""The same evaluation at other strengths of the adapter; what the original draws is drawn once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spf_core.config.sections import SampleSection
from spf_core.errors import ConfigError
from spf_core.interfaces import Metric, Quadruples, Suite
from spf_core.runs.run import OpenRun
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.progress import Progress
from spf_lab.evaluation.columns import ScoreTable
from spf_lab.evaluation.measure import Measurements, measure
from spf_lab.evaluation.quadruples import sample_tuned
from spf_lab.evaluation.results import pair_rows, write_rows

STRONGEST = 4.0


def check_strengths(strengths: Sequence[float]) -> None:
    """ConfigError unless the strengths are distinct numbers from 0 to 4."""
    shown = ",".join(f"{strength:g}" for strength in strengths)
    if any(not 0 <= strength <= STRONGEST for strength in strengths):
        raise ConfigError(f"--strengths {shown}: one is out of range; give numbers from 0 to {STRONGEST:g}")
    if len(set(strengths)) < len(strengths):
        raise ConfigError(f"--strengths {shown}: give every strength once")


def sample_strengths(
    run: OpenRun,
    quads: Quadruples,
    strengths: Iterable[float],
    options: SampleSection,
    *,
    seed: int,
    progress: Progress,
    group: ProcessGroup = SINGLE_PROCESS,
) -> dict[float, Quadruples]:
    """Quadruples by strength. At 0 the tuned model is the original: C is B, and D is A."""

    def at(strength: float) -> Quadruples:
        if strength == 1:
            return quads
        if strength == 0:
            return replace(quads, c=quads.b, d=quads.a)
        c, d = sample_tuned(
            run.backbone,
            run.adapter,
            quads.prompts,
            quads.seeds,
            options,
            editor=run.editor,
            seed=seed,
            strength=strength,
            progress=progress,
            group=group,
        )
        return replace(quads, c=c, d=d)

    return {strength: at(strength) for strength in sorted(strengths)}


def measure_strengths(
    suite: Suite,
    metrics: Mapping[str, Metric],
    drawn: Mapping[float, Quadruples],
    full: Measurements,
    out: Path,
) -> dict[float, Measurements]:
    """Measurements by strength, their rows kept in pairs-xSTRENGTH.jsonl; those at strength 1 are `full`."""
    found = {}
    for strength, quads in drawn.items():
        found[strength] = full if strength == 1 else measure(suite, metrics, quads)
        if strength != 1:
            write_rows(out / f"pairs-x{strength:g}.jsonl", pair_rows(quads, found[strength], ScoreTable()))
    return found
