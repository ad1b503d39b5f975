"""Purity while training goes on: evaluations on development prompts, and the purest weights so far."""

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.interfaces import Fit
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.runs.run import OpenRun
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.json_text import read_json_lines
from spf_core.utils.validation import explain
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.subject import find_subject

PURITY_FILE, PUREST_FILE = "purity.jsonl", "purest.safetensors"
SHOWN = ("sps", "effect", "spi", "rec", "hit_rate", "base_leak")


class _Line(BaseModel):
    """What is read of a line again."""

    step: int
    sps: float | None


_LINES = TypeAdapter(list[_Line])


def refuse_unknown_target(config: RunConfig, plugins: Plugins) -> None:
    """ConfigError when the run is to be evaluated, and nobody knows the target to judge."""
    if config.evaluation.every:
        find_subject(
            config.data,
            plugins,
            target=config.evaluation.target,
            dataset=config.dataset,
            reader=config.reader,
            backbone=config.backbone.name,
        )


def watch_purity(fit: Fit) -> None:
    """Evaluate the weights where this step is one to do so: every so often, and at the end.

    Writes evaluations/step-NNNNNN and a line of purity.jsonl, and keeps the weights with the highest SPS in
    purest.safetensors. The adapter is at strength 1 before and afterwards.
    """
    options, step = fit.config.evaluation, fit.step
    if not options.every or (step % options.every and step != fit.config.train.steps):
        return
    with fit.averaged():
        values = _evaluate(fit)
        earlier = [line for line in read_purity(fit.run) if line["step"] < step]
        if not any((line["sps"] or 0) > (values["sps"] or 0) for line in earlier):
            write_safetensors(fit.run / PUREST_FILE, fit.adapter.state_dict(), fit.metadata())
    lines = [*earlier, {"step": step, **values}]
    atomic_write_text(fit.run / PURITY_FILE, "".join(f"{json.dumps(line)}\n" for line in lines))
    fit.track({f"purity/{name}": value for name, value in values.items() if value is not None}, {})


def _evaluate(fit: Fit) -> dict[str, float | None]:
    """The headline scores of the weights as they are now."""
    config, options = fit.config, fit.config.evaluation
    out = fit.run / "evaluations" / f"step-{fit.step:06d}"
    shutil.rmtree(out, ignore_errors=True)  # of a run that was resumed from before
    editor = built(config.editor) if config.editor else None
    results = evaluate(
        OpenRun(fit.run, config, fit.backbone, fit.adapter, f"step {fit.step}", editor),
        fit.plugins,
        EvaluationPlan(target=options.target, prompts=options.prompts, seeds=options.seeds, split="dev"),
        scores={},
        out=out,
        progress=fit.progress,
    )
    return {name: results.headline[name].value for name in SHOWN}


def load_purest(fit: Fit, metadata: dict[str, str]) -> None:
    """Load the purest weights where the run shall end with them; `metadata` then tells their step."""
    file = fit.run / PUREST_FILE
    options = fit.config.evaluation
    if not options.every or options.keep == "last" or not file.is_file():
        return
    tensors, kept = read_safetensors(file)
    fit.adapter.load_state_dict(tensors)
    metadata["spf_step"] = kept["spf_step"]


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
