"""Checks by training: five steps of a tiny model with the component, saving, loading and resuming."""

import json
from pathlib import Path

from spf_core.config.run_config import RunConfig
from spf_core.errors import SpfError
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.testing.conformance import check_run
from spf_core.testing.reading import OPTIONS, sample_of
from spf_core.testing.states import tiny_data
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject
from spf_core.training.loop import train

_RUN = "run"


def config_with_data(subject: Subject) -> RunConfig:
    """The configuration of the run, with the path of the training data; that of a reader is its sample."""
    if subject.kind == "data-reader":
        given = {"data": sample_of(subject), "dataset": OPTIONS}
        return subject.run_config.model_copy(update=given)
    data = subject.folder / "data"
    if not data.is_dir():
        tiny_data(data)
    return subject.run_config.model_copy(update={"data": str(data)})


def trained(subject: Subject) -> Path:
    """The folder of a finished run of five steps with the component."""
    run = subject.folder / _RUN
    if not (run / ADAPTER_FILE).is_file():
        train(config_with_data(subject), run, subject.plugins)
    return run


def trains(subject: Subject) -> None:
    """Five steps of training end well, and a term of the run is in the log of each step it is active in."""
    run = trained(subject)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    if len(lines) != 5:
        raise Failure(f"the run made {len(lines)} of 5 steps")
    name = subject.config.name
    if subject.kind in ("loss", "response") and not any(name in line["terms"] for line in lines):
        raise Failure(f"no step computed '{name}'; look at its `weight`, `start` and `stop`")


def resumes(subject: Subject) -> None:
    """A run that is resumed in its middle ends with the same bits; it is loaded and samples an image."""
    if subject.kind == "preset" and subject.run_config.train.steps == 0:
        raise NotApplicable("it trains nothing")
    try:
        check_run(config_with_data(subject), subject.folder / "resumed", subject.plugins)
    except SpfError as error:
        raise Failure(str(error)) from None
    except AssertionError as error:
        raise Failure(
            f"{error}; what changes from step to step belongs into state_dict() and load_state_dict() "
            "(spf_core.interfaces.Stateful), and chance into state.generator"
        ) from None


CHECKS: tuple[tuple[str, Check], ...] = (
    ("five training steps", trains),
    ("saves, loads, resumes to the same bits, samples", resumes),
)
