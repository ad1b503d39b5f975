"""MPS's tensors, as a state dict or DiffSynth's safetensors, joined with the files of their CLIP."""

from collections.abc import Sequence
from pathlib import Path

from spf_core.runs.pretrained import load, quiet
from spf_lab.metrics.convert.files import (
    TOKENIZER,
    matched,
    need_base,
    need_sources,
    read_upstream,
    write_folder,
)
from spf_lab.metrics.networks.mps import built


def convert_mps(sources: Sequence[Path], out: Path, base: Path | None) -> None:
    """The tensors under their own names, with configuration and tokenizer."""
    from transformers import CLIPConfig

    need_sources(sources, "MPS_overall_checkpoint_diffsynth.safetensors, or the model's state dict")
    folder = need_base(base, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K")
    tensors = read_upstream(sources[0])
    with quiet():
        module = built(load(CLIPConfig, folder), tensors, sources[0])
    kept = matched(tensors, module.state_dict(), f"'{sources[0]}'")
    copied = ("config.json", "preprocessor_config.json", *TOKENIZER)
    write_folder(out, kept, sources, base=folder, copied=copied)
