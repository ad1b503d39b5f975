"""`spf export`: a finished run in a form that other programs read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from spf_core.errors import ConfigError, RunError
from spf_core.export.card import measured_section
from spf_core.export.facts import Facts, facts_of
from spf_core.export.lora import Lora, as_lora
from spf_core.interfaces import LowRank
from spf_core.plugins.building import built
from spf_core.plugins.configs import ExporterConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, open_run, trained_weights

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class UnknownNamesError(RunError):
    """The format has no names for the layers of this base model."""


@dataclass(frozen=True)
class Request:
    """What is to be written; `merge` bakes a LoRA into the weights, at `strength` times the trained one.

    `format` is the name of an exporter. `companions` also writes the files that lie beside a LoRA file.
    """

    format: str
    out: Path
    merge: bool = False
    strength: float | None = None
    precision: str = "fp32"
    evaluation: Path | None = None
    licence: str | None = None
    companions: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """Of the written weights."""
        return DTYPES[self.precision]


@dataclass(frozen=True)
class FinishedRun:
    """What an exporter writes. `lora` is None where the run's whole weights are to be written.

    `measured` is the section of the model card about the evaluation that the request names.
    """

    opened: OpenRun
    lora: Lora | None
    facts: Facts
    measured: str
    request: Request


def export(run: Path, plugins: Plugins, request: Request) -> FinishedRun:
    """Write a finished run, and return what was written.

    RunError and ConfigError say what cannot be written in the chosen way, before anything is.
    """
    config = plugins.get(request.format, "exporter")
    assert issubclass(config, ExporterConfig), "of that kind"
    opened = open_run(run, plugins, device="cpu", exact=True)
    measured = measured_section(request.evaluation, run, plugins)
    lora = None if request.merge or not isinstance(opened.adapter, LowRank) else as_lora(opened.adapter)
    _refuse(request, lora, config, plugins)
    finished = FinishedRun(opened, lora, run_facts(opened, request.licence), measured, request)
    built(config)(finished)
    return finished


def run_facts(opened: OpenRun, licence: str | None = None) -> Facts:
    """What is known of an opened run."""
    title, metadata = opened.path.resolve().name, trained_weights(opened.path)[1]
    return facts_of(title, opened.config, opened.backbone, metadata, licence)


def _refuse(request: Request, lora: Lora | None, config: type[ExporterConfig], plugins: Plugins) -> None:
    if "model" not in config.holds and request.merge:
        raise ConfigError(
            f"--merge gives whole weights, a {config.name} file holds a LoRA; leave one of them out"
        )
    if "model" not in config.holds and lora is None:
        others = [name for name, each in plugins.of_kind("exporter").items() if _holds_models(each.config)]
        raise RunError(
            "the run trained whole weights, which a LoRA file cannot hold; "
            f"export it with --format {' or --format '.join(others)}"
        )
    if "lora" not in config.holds and lora is not None:
        raise ConfigError(f"a {config.name} holds whole weights, the run a LoRA; add --merge to bake it in")
    if lora is not None and request.strength is not None:
        raise ConfigError("--strength counts with --merge; of a LoRA file, its user chooses the strength")


def _holds_models(config: type) -> bool:
    return issubclass(config, ExporterConfig) and "model" in config.holds
