"""`spf evaluate`: sample quadruples of a run, judge them, and write scores, rows and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from time import monotonic
from typing import Any

from spf_core.errors import ConfigError, RunError
from spf_core.interfaces import NeedsModel, Quadruples, Suite
from spf_core.plugins import ScoreConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun
from spf_core.utils.atomic import emptied_on_failure
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.progress import Progress, silent
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.columns import ScoreTable, compute_scores
from spf_lab.evaluation.drawing import OWN, EvaluationPlan, bound, draw, subject_of
from spf_lab.evaluation.figures import write_grids
from spf_lab.evaluation.frontier import frontier
from spf_lab.evaluation.leakage import bias_rises, caption_accuracy, flips, leakage_matrix
from spf_lab.evaluation.measure import Measurements, measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.pictures import SHOWN, WORST, first_pairs, keep_pictures, worst_pairs
from spf_lab.evaluation.plots import write_plots
from spf_lab.evaluation.provenance import provenance as _provenance
from spf_lab.evaluation.results import Results, pair_rows, write_results
from spf_lab.evaluation.saved import noise_on_cpu
from spf_lab.evaluation.score_options import choose_scores, warn_of_missing
from spf_lab.evaluation.scores import pair_pollution, score, stratum_scores
from spf_lab.evaluation.statistics import Bootstrap, estimate
from spf_lab.evaluation.strengths import measure_strengths
from spf_lab.evaluation.subject import Subject, ceiling_of


def evaluate(
    run: OpenRun,
    plugins: Plugins,
    plan: EvaluationPlan,
    *,
    out: Path,
    scores: Mapping[str, ScoreConfig] | None = None,
    metric_options: Sequence[str] = (),
    keep: int = SHOWN,
    also: Sequence[int] = (),
    progress: Progress = silent,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Results:
    """Evaluate a run on unseen prompts and write `out`: results.json, pairs.jsonl, pictures and figures.

    `scores` default to those that need no outside weights. `metric_options` are NAME.OPTION=VALUE of the
    suite's metrics of SPI, which then has another name. Pictures are kept in images/ of the first `keep`
    prompts, of the worst pairs and of the pairs `also`. Processes `group` share the drawing: this is for the
    main one, while the others call `drawing.draw` with the same plan. Raises ConfigError for an unknown
    target or option, a count below 1 or a strength that cannot be, RunError when `out` is not empty or a draw
    cannot be repeated.
    """
    _check(plan, out)
    started = monotonic()
    suite = subject_of(run, plugins, plan).suite
    purity = purity_metrics(plugins, suite, metric_options)
    shown = choose_scores(plugins) if scores is None else scores
    purity.warn()
    if isinstance(suite, NeedsModel):
        suite.check()
    warn_of_missing(shown)
    drawn = draw(run, plugins, plan, progress=progress, group=group)
    subject, quads = drawn.subject, drawn.quads
    progress("judging", 0, 1)
    subject = replace(subject, suite=bound(subject, run, quads))
    judge = CachedSuite(subject.suite)
    found = measure(judge, purity.built, quads)
    columns = compute_scores(shown, quads, judge, run.backbone, Bootstrap(found.prompts), progress)
    provenance = _provenance(run, subject, purity, plan.sample or run.config.sample, plan.seed)
    results = summarise(
        subject, quads, found, columns, split=OWN if plan.texts else plan.split, provenance=provenance
    )
    with emptied_on_failure(out):
        if drawn.strengths:
            swept = measure_strengths(judge, purity.built, drawn.strengths, found, out)
            results = replace(results, frontier=frontier(swept, Bootstrap(found.prompts)))
        results = _timed(results, started)
        _write(out, results, quads, found, columns, judge, keep, also)
    progress("judging", 1, 1)
    return results


def _timed(results: Results, started: float) -> Results:
    """With the seconds that drawing, judging and scoring took."""
    return replace(results, provenance={**results.provenance, "seconds": round(monotonic() - started, 2)})


def _write(
    out: Path,
    results: Results,
    quads: Quadruples,
    found: Measurements,
    columns: ScoreTable,
    suite: Suite,
    keep: int,
    also: Sequence[int],
) -> None:
    write_grids(out, results, quads, found, suite)
    write_plots(out, results.to_json())
    shown = [*first_pairs(found.prompts, quads.seeds, keep), *worst_pairs(pair_pollution(found), WORST)]
    keep_pictures(out, quads, [*shown, *also], suite)
    write_results(out, results, pair_rows(quads, found, columns))


def summarise(
    subject: Subject,
    quads: Quadruples,
    found: Measurements,
    columns: ScoreTable,
    *,
    split: str,
    provenance: dict[str, Any],
) -> Results:
    """All scores of measured quadruples; one set of bootstrap draws serves them all.

    RunError when a draw on a CPU, repeated, had other pixels.
    """
    if noise := noise_on_cpu(found.floor, provenance["environment"]):
        raise RunError(
            f"noise floor {noise}: the base model sampled the same images twice with different pixels, "
            "which a CPU does not do; leave out the plugin whose backbone or adapter adds randomness, then "
            "evaluate again"
        )
    draws = Bootstrap(found.prompts)
    scores = score(found, draws)
    strata = {} if split == OWN else stratum_scores(found)
    changed = {"tuned": flips(found, "c"), "reseed": flips(found, "a2")}
    followed = {"original": caption_accuracy(found, "a"), "tuned": caption_accuracy(found, "c")}
    return Results(
        label=_label(subject.suite, provenance["purity"]),
        suite=subject.suite_name,
        target=subject.target,
        target_text=quads.prompts[0].prompt.target_text or "",
        split=split,
        n_prompts=found.prompts,
        n_seeds=quads.seeds,
        allowed_attributes=tuple(sorted(found.allowed)),
        headline=scores.headline,
        parts=scores.parts,
        strata={name: each.headline for name, each in strata.items()},
        ceiling=ceiling_of(subject.suite, subject.target),
        leakage=leakage_matrix(found, draws),
        flips={name: estimate(draws.mean(values)) for name, values in changed.items()},
        bias_rise=bias_rises(found, subject.bias, draws),
        caption_accuracy={name: estimate(draws.mean(values)) for name, values in followed.items()},
        calibration={
            "tau_ref": None if isnan(found.tau_ref) else found.tau_ref,
            "floor": dict(found.floor),
            "parts": dict(found.parts),
        },
        scores=columns,
        provenance=provenance,
    )


def _label(suite: Suite, purity: Mapping[str, Any]) -> str:
    """What the numbers are called wherever they are shown: other options of a metric make other numbers."""
    own = purity["label"] == purity["set"]
    return suite.label if own else f"{suite.label}, {purity['label']}"


def _check(plan: EvaluationPlan, out: Path) -> None:
    for name, count in (("prompts", plan.prompts), ("seeds", plan.seeds)):
        if count < 1:
            raise ConfigError(f"--{name} {count}: too few; give at least 1")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"output folder '{out}' is not empty; choose another with --out or delete it")
