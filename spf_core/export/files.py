"""Writing a run's weights as other programs open them: each file or folder whole, or not at all."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.export.checkpoint import checkpoint_tensors
from spf_core.export.facts import Facts, facts_of, lora_metadata, model_spec, own_metadata
from spf_core.export.lora import Lora, as_lora, kohya_tensors, peft_settings, peft_tensors
from spf_core.interfaces import Adapter, Backbone, LowRank
from spf_core.runs.checkpoint import ADAPTER_FILE, write_safetensors
from spf_core.runs.pretrained import quiet

_log = logging.getLogger("spf")


def two_encoders(backbone: Backbone) -> bool:
    """Whether the backbone reads texts with two encoders, as SDXL does."""
    return getattr(backbone.pipeline(), "text_encoder_2", None) is not None


def write_kohya(
    file: Path, lora: Lora, facts: Facts, *, two_encoders: bool, dtype: torch.dtype = torch.float32
) -> None:
    """Write a LoRA in kohya's keys."""
    tensors = kohya_tensors(lora, dtype, two_encoders=two_encoders)
    write_safetensors(file, tensors, lora_metadata(facts, lora, tensors))


def write_peft(folder: Path, lora: Lora, facts: Facts, dtype: torch.dtype = torch.float32) -> None:
    """Write `pytorch_lora_weights.safetensors` into a folder."""
    write_peft_file(folder / LORA_WEIGHT_NAME_SAFE, lora, facts, dtype)


def write_peft_file(file: Path, lora: Lora, facts: Facts, dtype: torch.dtype = torch.float32) -> None:
    """Write a LoRA in diffusers' and PEFT's keys, with the settings that diffusers reads from it."""
    tensors = peft_tensors(lora, dtype)
    settings = json.dumps(peft_settings(lora), sort_keys=True)
    metadata = {**lora_metadata(facts, lora, tensors), LORA_ADAPTER_METADATA_KEY: settings}
    write_safetensors(file, tensors, metadata)


def write_pipeline(folder: Path, pipeline: Any, facts: Facts) -> None:
    """Write a whole pipeline in diffusers' layout, and what it is in `spf.json`."""
    with quiet():
        pipeline.save_pretrained(folder)
    (folder / "spf.json").write_text(json.dumps(own_metadata(facts), indent=2), encoding="utf-8")


def write_checkpoint(file: Path, pipeline: Any, facts: Facts) -> None:
    """Write a whole pipeline as a single file in the layout of the original checkpoints."""
    tensors = checkpoint_tensors(pipeline) | facts.prediction.marks()
    write_safetensors(file, tensors, {"format": "pt", **model_spec(facts), **own_metadata(facts)})


def run_file(run: Path) -> Path:
    """Where a run's LoRA for other programs lies: `<run name>.safetensors`, never the run's own weights."""
    name = run.resolve().name
    file = run / f"{name}.safetensors"
    return file if file.name != ADAPTER_FILE else run / f"{name}-lora.safetensors"


def write_weights(
    run: Path, adapter: Adapter, backbone: Backbone, config: RunConfig, metadata: dict[str, str]
) -> None:
    """What a run ends with: its own weights and, where they are a LoRA, the file for other programs.

    A warning says why there is none where a low-rank adapter does not fit into such a file.
    """
    write_safetensors(run / ADAPTER_FILE, adapter.state_dict(), metadata)
    if isinstance(adapter, LowRank):
        file = run_file(run)
        try:
            lora = as_lora(adapter)
        except RunError as error:
            _log.warning("'%s' is not written: %s", file, error)
            return
        facts = facts_of(file.stem, config, backbone, metadata)
        if facts.kohya:
            write_kohya(file, lora, facts, two_encoders=two_encoders(backbone))
            return
        write_peft_file(file, lora, facts)
        _log.warning(
            "'%s' is in diffusers' keys, for pipe.load_lora_weights(): spf knows no other program's names "
            "for the layers of a %s",
            file,
            facts.pipeline,
        )
