"""Purity while training goes on: evaluations on development prompts, and the purest weights so far."""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.interfaces import Adapter, Backbone
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.runs.run import OpenRun
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.json_text import read_json_lines
from spf_core.utils.progress import Progress, silent
from spf_core.utils.validation import explain
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.subject import find_subject

PURITY_FILE, PUREST_FILE = "purity.jsonl", "purest.safetensors"
SHOWN = ("sps", "effect", "spi", "rec", "hit_rate", "base_leak")


class _Line(BaseModel):
    """What is read of a line again."""

    step: int
    sps: float | None


_LINES = TypeAdapter(list[_Line])


class PurityWatch:
    """Evaluates a run at some of its steps: evaluations/step-NNNNNN, one line each in purity.jsonl.

    The weights with the highest SPS are kept in purest.safetensors. ConfigError at the start when nobody
    knows the target to judge.
    """

    def __init__(self, config: RunConfig, run: Path, plugins: Plugins, progress: Progress = silent) -> None:
        self.config, self.run, self.plugins, self.progress = config, run, plugins, progress
        self.options = config.evaluation
        self.editor = built(config.editor) if config.editor else None
        find_subject(config.data, plugins, target=self.options.target, dataset=config.dataset)

    def due(self, step: int) -> bool:
        """Whether the weights after `step` are to be evaluated: every so often, and at the end."""
        return step % self.options.every == 0 or step == self.config.train.steps

    def __call__(
        self, backbone: Backbone, adapter: Adapter, step: int, metadata: dict[str, str]
    ) -> dict[str, Any]:
        """Evaluate the weights as they are; the adapter is at strength 1 before and afterwards.

        Returns the line that purity.jsonl got.
        """
        out = self.run / "evaluations" / f"step-{step:06d}"
        shutil.rmtree(out, ignore_errors=True)  # of a run that was resumed from before
        results = evaluate(
            OpenRun(self.run, self.config, backbone, adapter, f"step {step}", self.editor),
            self.plugins,
            target=self.options.target,
            prompts=self.options.prompts,
            seeds=self.options.seeds,
            split="dev",
            scores={},
            out=out,
            progress=self.progress,
        )
        values = {name: results.headline[name].value for name in SHOWN}
        earlier = [line for line in read_purity(self.run) if line["step"] < step]
        if not any((line["sps"] or 0) > (values["sps"] or 0) for line in earlier):
            write_safetensors(self.run / PUREST_FILE, adapter.state_dict(), metadata)
        lines = [*earlier, {"step": step, **values}]
        atomic_write_text(self.run / PURITY_FILE, "".join(f"{json.dumps(line)}\n" for line in lines))
        return lines[-1]

    def choose(self, adapter: Adapter, metadata: dict[str, str]) -> dict[str, str]:
        """Load the purest weights where the run shall end with them; returns what the file says of itself."""
        if self.options.keep == "last" or not (self.run / PUREST_FILE).is_file():
            return metadata
        tensors, kept = read_safetensors(self.run / PUREST_FILE)
        adapter.load_state_dict(tensors)
        return {**metadata, "spf_step": kept["spf_step"]}


def read_purity(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's purity.jsonl, in the order of steps; none when there is no such file.

    RunError when it is damaged.
    """
    file = run / PURITY_FILE
    if not file.is_file():
        return []
    try:
        lines = read_json_lines(file)
        _LINES.validate_python(lines)
    except ValueError as error:
        reason = explain(error, "", _Line) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"'{file}' is damaged ({reason}); delete it to go on without it") from None
    return lines
