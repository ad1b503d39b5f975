"""The purest strength of a run, by a suite's judges: effect and SPI over strength, on development prompts."""

from collections.abc import Sequence

from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun
from spf_core.utils.progress import Progress, silent
from spf_lab.calibration import StrengthCalibration, StrengthScores
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.drawing import bound, unseen_prompts
from spf_lab.evaluation.frontier import frontier
from spf_lab.evaluation.measure import measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.quadruples import generate
from spf_lab.evaluation.statistics import Bootstrap
from spf_lab.evaluation.strengths import sample_strengths
from spf_lab.evaluation.subject import Subject, find_subject, is_known

LEAST = 1  # of 100; below, the best is chance


def judged_subject(
    run: OpenRun, plugins: Plugins, *, suite: str | None, target: str | None, needed: bool
) -> Subject | None:
    """Who judges the run, found as `spf evaluate` finds it.

    None where nobody knows its training folder and no judge is `needed` or named. ConfigError for a suite or
    target that does not exist, or a judge that is needed and not there.
    """
    config = run.config
    if not (needed or suite or target or is_known(config.data, plugins)):
        return None
    return find_subject(
        config.data,
        plugins,
        suite=suite,
        target=target,
        dataset=config.dataset,
        reader=config.reader,
        backbone=config.backbone.name,
    )


def judge_strength(
    run: OpenRun,
    subject: Subject,
    plugins: Plugins,
    strengths: Sequence[float],
    *,
    prompts: int,
    seeds: int,
    progress: Progress = silent,
) -> StrengthCalibration:
    """The strength with the highest SPS, of equal ones the lowest; every measure at each of them.

    ConfigError when SPS is below 1 at all of them.
    """
    sample, purity = run.config.sample, purity_metrics(plugins, subject.suite)
    purity.warn()
    texts = unseen_prompts(subject, prompts, seed=0, split="dev")
    quads = generate(
        run.backbone,
        run.adapter,
        texts,
        seeds,
        sample,
        target=subject.target,
        editor=run.editor,
        progress=progress,
    )
    drawn = sample_strengths(run, quads, sorted(set(strengths)), sample, seed=0, progress=progress)
    judge = CachedSuite(bound(subject, run, quads))
    measured = {}
    for number, (strength, each) in enumerate(drawn.items(), 1):
        measured[strength] = measure(judge, purity.built, each)
        progress("judging", number, len(drawn))
    points = frontier(measured, Bootstrap(len(texts))).points
    found = tuple(
        StrengthScores(strength, **{name: scores[name] for name in StrengthScores.measures()})
        for strength, scores in points.items()
    )
    basis = f"{len(texts)} unseen prompts x {seeds} seeds, {subject.suite.label}, {subject.target}"
    if all(each.sps.value is None for each in found):
        raise ConfigError(
            f"no strength has an SPS ({basis}): no judge tells the target, or the base model shows it; "
            "use CLIP with --by response"
        )
    best = max(found, key=lambda each: each.sps.value or 0)
    if (best.sps.value or 0) < LEAST:
        shown = ", ".join(f"{each.strength:g}" for each in found)
        raise ConfigError(
            f"SPS stays below {LEAST} at strengths {shown} ({basis}): the target does not appear, or too "
            "much else changes; train longer, try others with --strengths, or use CLIP with --by response"
        )
    return StrengthCalibration("sps", basis, found, best.strength)
