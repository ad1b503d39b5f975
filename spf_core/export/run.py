"""`spf export`: a finished run as a LoRA file, a diffusers folder or a single-file checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from spf_core.errors import ConfigError, RunError
from spf_core.export.architecture import architecture_of
from spf_core.export.card import measured_section, write_card
from spf_core.export.check import Verdict, check_file
from spf_core.export.facts import Facts, facts_of
from spf_core.export.files import two_encoders, write_checkpoint, write_kohya, write_peft, write_pipeline
from spf_core.export.lora import Lora, as_lora
from spf_core.interfaces import LowRank, Mergeable
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, in_float32, open_backbone, open_run, trained_weights
from spf_core.utils.atomic import atomic_folder

Format = Literal["kohya", "diffusers", "checkpoint"]
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Request:
    """What is to be written; `merge` bakes a LoRA into the weights, at `strength` times the trained one."""

    format: Format
    out: Path
    merge: bool = False
    strength: float | None = None
    precision: str = "fp32"
    evaluation: Path | None = None
    licence: str | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of the written weights."""
        return DTYPES[self.precision]


def export(run: Path, plugins: Plugins, request: Request) -> list[Verdict]:
    """Write a finished run; what every client makes of the file, where it is a LoRA in kohya's keys.

    RunError and ConfigError say what cannot be written in the chosen way, before anything is.
    """
    opened = open_run(run, plugins, device="cpu", exact=True)
    measured = measured_section(request.evaluation, run, plugins)
    lora = None if request.merge or not isinstance(opened.adapter, LowRank) else as_lora(opened.adapter)
    _refuse(request, lora)
    facts = run_facts(opened, request.licence)
    if lora is None:
        _write_whole(opened, facts, request, measured)
    elif request.format == "kohya":
        both = two_encoders(opened.backbone)
        write_kohya(request.out, lora, facts, two_encoders=both, dtype=request.dtype)
        return check_file(request.out, architecture_of(opened.backbone))
    else:
        with atomic_folder(request.out) as folder:
            write_peft(folder, lora, facts, request.dtype)
            write_card(folder, opened.path, facts, request.evaluation, measured, lora=lora)
    return []


def run_facts(opened: OpenRun, licence: str | None = None) -> Facts:
    """What is known of an opened run."""
    title, metadata = opened.path.resolve().name, trained_weights(opened.path)[1]
    return facts_of(title, opened.config, opened.backbone, metadata, licence)


def _refuse(request: Request, lora: Lora | None) -> None:
    if request.format == "kohya" and request.merge:
        raise ConfigError("--merge gives whole weights, a kohya file holds a LoRA; leave one of them out")
    if lora is None and request.format == "kohya":
        raise RunError(
            "the run trained whole weights, which a LoRA file cannot hold; "
            "export it with --format diffusers or --format checkpoint"
        )
    if lora is not None and request.format == "checkpoint":
        raise ConfigError("a checkpoint holds whole weights, the run a LoRA; add --merge to bake it in")
    if lora is not None and request.strength is not None:
        raise ConfigError("--strength counts with --merge; of a LoRA file, its user chooses the strength")


def _write_whole(opened: OpenRun, facts: Facts, request: Request, measured: str) -> None:
    """The whole model: loaded once more, as it was before the adapter, then given the weights it changed."""
    adapter = opened.adapter
    if not isinstance(adapter, Mergeable):
        raise RunError(
            f"the adapter '{opened.config.adapter.name}' cannot be merged: it has no merged(); "
            "its run works with spf sample alone"
        )
    opened.adapter.scale(1.0 if request.strength is None else request.strength)
    merged = adapter.merged()
    pipeline = open_backbone(in_float32(opened.config.backbone), "cpu").pipeline()
    for key, tensor in merged.items():
        part, _, name = key.partition(".")
        with torch.no_grad():
            getattr(pipeline, part).get_parameter(name).copy_(tensor)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if hasattr(pipeline, part):
            nn.Module.to(getattr(pipeline, part), request.dtype)  # diffusers' own warns where nothing is lost
    if request.format == "checkpoint":
        write_checkpoint(request.out, pipeline, facts)
        return
    with atomic_folder(request.out) as folder:
        write_pipeline(folder, pipeline, facts)
        write_card(folder, opened.path, facts, request.evaluation, measured, lora=None)
