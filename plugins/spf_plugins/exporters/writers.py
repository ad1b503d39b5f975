"""What each exporter writes; satisfies `interfaces.Exporter`."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from spf_core.errors import RunError
from spf_core.export.card import write_card
from spf_core.export.companions import has_workflow, write_companions, write_workflow
from spf_core.export.files import two_encoders, write_checkpoint, write_kohya, write_peft, write_pipeline
from spf_core.export.run import FinishedRun, UnknownNamesError
from spf_core.interfaces import Mergeable
from spf_core.runs.run import open_backbone, unrounded
from spf_core.utils.atomic import atomic_folder


def write_lora_file(run: FinishedRun) -> None:
    """One file with the LoRA in kohya's keys, and beside it what other programs read of it."""
    assert run.lora is not None, "it holds nothing else"
    _refuse_without_names(run, "kohya's keys")
    both = two_encoders(run.opened.backbone)
    out, facts = run.request.out, replace(run.facts, alias=run.request.out.stem)
    write_kohya(out, run.lora, facts, two_encoders=both, dtype=run.request.dtype)
    if run.request.companions:
        write_companions(out, facts)


def write_diffusers_folder(run: FinishedRun) -> None:
    """The LoRA in PEFT's keys, or the pipeline with the trained weights in it; and a model card."""
    pipeline = None if run.lora else merged_pipeline(run)
    with atomic_folder(run.request.out) as folder:
        if run.lora:
            write_peft(folder, run.lora, run.facts, run.request.dtype)
            if has_workflow(run.facts):
                write_workflow(folder, run.facts)
        else:
            write_pipeline(folder, pipeline, run.facts)
        write_card(folder, run.opened.path, run.facts, run.request.evaluation, run.measured, lora=run.lora)


def write_single_file(run: FinishedRun) -> None:
    """The pipeline with the trained weights in it, in the keys of the original release."""
    _refuse_without_names(run, "names of an original release")
    write_checkpoint(run.request.out, merged_pipeline(run), run.facts)


def _refuse_without_names(run: FinishedRun, keys: str) -> None:
    """RunError for a base model whose layers have no names that spf knows but diffusers'."""
    if not run.facts.kohya:
        raise UnknownNamesError(
            f"spf knows no {keys} for the layers of a {run.facts.pipeline}, and no program would read such a "
            "file; export it with --format diffusers"
        )


def merged_pipeline(run: FinishedRun) -> Any:
    """The whole model: loaded once more, as it was before the adapter, then given the weights it changed.

    RunError for an adapter that cannot be merged.
    """
    adapter, config, request = run.opened.adapter, run.opened.config, run.request
    if not isinstance(adapter, Mergeable):
        raise RunError(
            f"the adapter '{config.adapter.name}' cannot be merged: it has no merged(); "
            "its run works with spf sample alone"
        )
    run.opened.adapter.scale(1.0 if request.strength is None else request.strength)
    pipeline = open_backbone(unrounded(config.backbone), "cpu").pipeline()
    for key, tensor in adapter.merged().items():
        part, _, name = key.partition(".")
        with torch.no_grad():
            getattr(pipeline, part).get_parameter(name).copy_(tensor)
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            nn.Module.to(part, request.dtype)  # diffusers' own warns where nothing is lost
    return pipeline
