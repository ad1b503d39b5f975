"""Measuring, as plugins with commands of their own: evaluation, benchmarks, studies and reports."""

from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.plugins import Register, ReportSection, hookimpl

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig
    from spf_core.interfaces import Fit
    from spf_core.plugins.discovery import Plugins


@hookimpl
def spf_register(register: Register) -> None:
    """Register the metrics of SPI and SPS, and the scores of the literature."""
    from spf_lab.metrics.configs import METRICS, SCORES  # `spf --help` imports this package, and no component

    for config in (*METRICS, *SCORES):
        register(config)


@hookimpl
def spf_before_fit(config: "RunConfig", plugins: "Plugins") -> None:
    """Refuse a run that is to be evaluated while it trains, and whose target nobody knows."""
    if config.evaluation.every:
        from spf_lab.evaluation.during_training import refuse_unknown_target

        refuse_unknown_target(config, plugins)


@hookimpl
def spf_after_step(fit: "Fit") -> None:
    """Evaluate the weights every `evaluation.every` steps, and show the run in its folder."""
    if fit.config.evaluation.every:
        from spf_lab.evaluation.during_training import watch_purity

        watch_purity(fit)
    from spf_lab.showing.live import show_training

    show_training(fit)


@hookimpl
def spf_after_fit(fit: "Fit", metadata: dict[str, str]) -> None:
    """With `evaluation.keep=purest`, let the run end with the weights of the highest SPS."""
    if fit.config.evaluation.every:
        from spf_lab.evaluation.during_training import load_purest

        load_purest(fit, metadata)


@hookimpl
def spf_after_run(fit: "Fit") -> None:
    """Show the run as finished."""
    from spf_lab.showing.live import show_finished

    show_finished(fit)


@hookimpl
def spf_report_sections(run: Path, evaluation: Path | None, plugins: "Plugins") -> list[ReportSection]:
    """Show the training of a run on its page."""
    from spf_lab.report.training import training

    return [training(run, evaluation, plugins)]


@hookimpl
def spf_measured(evaluation: Path, run: Path) -> str | None:
    """Tell a model card what `spf evaluate` measured."""
    from spf_lab.evaluation.card import measured

    return measured(evaluation, run)
