"""`spf.Run`, `spf.open_run` and `spf.open_runs`: finished runs, whose models load when they are used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.loading import load_plugins, permitted, refuse_data, run_config
from spf.showing import lines_html, picture_html
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.saved_config import CONFIG_FILE
from spf_core.utils.json_text import read_json_lines
from spf_core.utils.paths import expanded

if TYPE_CHECKING:
    from PIL.Image import Image

    from spf_core.config.run_config import RunConfig
    from spf_core.runs.run import OpenRun


@dataclass(frozen=True)
class Run:
    """A finished run in its folder `path`. The model is loaded at the first use, onto `device`, and stays.

    In a notebook it shows its settings, and the newest samples of its training.
    """

    path: Path
    plugins: Plugins = field(repr=False)
    device: str = "auto"
    combined: tuple[tuple[Path, float], ...] = ()  # with `open_runs`: all runs with their strengths

    @cached_property
    def config(self) -> "RunConfig":
        """Its configuration."""
        from spf_core.runs.saved_config import saved_config

        return saved_config(self.path, self.plugins)

    @cached_property
    def model(self) -> "OpenRun":
        """The backbone with the adapter attached and loaded, and the handover that calibration found."""
        from spf_core.runs.run import open_run
        from spf_core.sampling.composition import open_runs

        if self.combined:
            folders, strengths = zip(*self.combined, strict=True)
            return open_runs(folders, strengths, self.plugins, device=self.device)
        return open_run(self.path, self.plugins, device=self.device)

    @property
    def handover(self) -> float:
        """Fraction of the noise schedule where the tuned model takes over; 1 where it takes every step."""
        from spf_core.runs.checkpoint import read_header
        from spf_core.runs.run import HANDOVER

        _, metadata = read_header(self.weights, "train again")
        return float(metadata.get(HANDOVER, self.config.sample.handover))

    @property
    def weights(self) -> Path:
        """The file of the adapter's weights."""
        from spf_core.runs.checkpoint import ADAPTER_FILE

        return self.path / ADAPTER_FILE

    @property
    def log(self) -> list[dict[str, Any]]:
        """What each optimizer step logged: its number, the loss, the terms, the learning rate, seconds."""
        file = self.path / "metrics.jsonl"
        return [dict(line) for line in read_json_lines(file)] if file.is_file() else []

    @property
    def samples(self) -> "Image | None":
        """The newest sample grid of the training; None where it made none."""
        from PIL import Image

        grids = sorted((self.path / "samples").glob("*-grid.png"))
        return Image.open(grids[-1]) if grids else None

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        config = self.config
        what = f"{config.preset} on {config.backbone.name}, {config.adapter.name}"
        lines = [f"run {self.path}: {what}, {config.train.steps} steps of {config.train.batch_size}"]
        if self.handover < 1:
            lines.append(f"handover: {self.handover:g}")
        return [*lines, f"weights: {self.weights}"]

    def _repr_html_(self) -> str:
        picture = self.samples
        shown = "" if picture is None else picture_html(picture, "samples at the end of training")
        return lines_html(self._lines()) + shown


def open_run(run: str | Path | Run, *, plugin: Sequence[str | Path] = (), device: str = "auto") -> Run:
    """Open a finished run. Its model is loaded when it is first used.

    Args:
        run: The run's folder. A `Run` is returned as it is.
        plugin: Plugin files to load. Those that the run names are loaded where you allowed their folder.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        spf_core.errors.RunError: The folder holds no run, or one whose components are not installed.
    """
    if isinstance(run, Run):
        return run
    path = Path(expanded(str(run)))
    _, plugins = run_config(path, [Path(file) for file in plugin])
    return Run(path, plugins, device)


def open_runs(
    runs: Sequence[str | Path | Run],
    strengths: Sequence[float] = (),
    *,
    plugin: Sequence[str | Path] = (),
    device: str = "auto",
) -> Run:
    """Combine several runs of one base model, each at its own strength, by default 1.

    The result samples with all of them. Its sampling settings are the first run's, and its handover is the
    earliest of all.

    Raises:
        spf_core.errors.RunError: They have different base models, or more than one trained whole weights.
        spf_core.errors.ConfigError: There are not as many strengths as runs.
    """
    folders = [each.path if isinstance(each, Run) else Path(expanded(str(each))) for each in runs]
    for folder in folders:
        refuse_data(folder)
    given = [Path(file) for file in plugin]
    named = [file for folder in folders for file in permitted(folder / CONFIG_FILE, given, needed=False)]
    at = tuple(strengths) or (1.0,) * len(folders)
    if len(at) != len(folders):
        raise ConfigError(
            f"{len(at)} strengths for {len(folders)} runs; give one for each, as in --strength 0.8,1"
        )
    plugins = load_plugins([*given, *named])
    return Run(folders[0], plugins, device, tuple(zip(folders, at, strict=True)))
