"""The hooks of spf: what a plugin may define. One registers its components, the others do work of their own.

A hook is a function of the plugin's module, marked with `hookimpl`. It may leave out arguments that it does
not read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from spf_core.plugins.configs import Component

if TYPE_CHECKING:
    import typer

    from spf_core.config.run_config import RunConfig
    from spf_core.interfaces import Fit
    from spf_core.plugins.discovery import Plugins
    from spf_core.plugins.report_section import ReportSection

hookspec = pluggy.HookspecMarker("spf")
hookimpl = pluggy.HookimplMarker("spf")

Register = Callable[[type[Component]], None]


@hookspec
def spf_register(register: Register) -> None:
    """Call `register(MyConfig)` for each component, whose class says its kind.

    Called once, when plugins load.
    """


@hookspec
def spf_register_commands(app: "typer.Typer") -> None:
    """Add commands and groups to the `spf` command line. Called once, before it is read.

    The module of this hook is an entry point of the group `spf.commands`. Import what is heavy inside the
    commands, since every `spf --help` imports the module.
    """


@hookspec
def spf_before_fit(config: "RunConfig", run: Path, plugins: "Plugins") -> None:
    """Called on the main process before a model is loaded, also when a run resumes.

    Raise `spf_core.errors.ConfigError` to refuse the configuration.
    """


@hookspec
def spf_after_step(fit: "Fit") -> None:
    """Called on the main process after every optimizer step, when its checkpoint is written."""


@hookspec
def spf_after_fit(fit: "Fit", metadata: dict[str, str]) -> None:
    """Called on the main process after the last step, before the weights are written.

    It may load other weights into `fit.adapter`, and may change `metadata`, which goes into the file.
    """


@hookspec
def spf_after_run(fit: "Fit") -> None:
    """Called on the main process at the very end, when the weights are written."""


@hookspec
def spf_measured(evaluation: Path, run: Path) -> str | None:
    """Return a section of the model card, in Markdown, about the measurements in the folder `evaluation`.

    Return None for a folder that is not yours. Raise `spf_core.errors.RunError` for a damaged one, or one
    that measures other weights than those of `run`.
    """


@hookspec
def spf_report_sections(
    run: Path, evaluation: Path | None, plugins: "Plugins", device: str
) -> "list[ReportSection] | None":
    """Return sections for the page that `spf report` writes about the folder `run`, or None.

    `evaluation` is the folder of the run's evaluation, and None if the run has none. A section that shows the
    model at work opens it with `spf_core.runs.run.open_run(run, plugins, device=device)`.

    A plugin of others that raises, or takes longer than a minute, costs its own sections and one warning.
    """


HOOKS: tuple[str, ...] = tuple(name for name in list(globals()) if name.startswith("spf_"))


def hooks_of(module: Any) -> dict[str, Any]:
    """What a module defines under a name that spf's hooks have, or that looks like one of them."""
    return {
        name: value
        for name, value in vars(module).items()
        if hasattr(value, "spf_impl")
        or name.startswith("spf_register")
        or (name in HOOKS and callable(value))
    }
