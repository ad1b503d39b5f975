"""A pipeline from one .safetensors file in the layout of the original checkpoints, by diffusers' converters.

Such a file has no settings and no tokenizer: settings of the architecture are packaged, and both models read
texts with CLIP's own tokenizer.
"""

import copy
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors import safe_open
from transformers import CLIPTokenizer

from spf_core.errors import RunError
from spf_core.export.prediction import said_by
from spf_core.export.published import settings_of
from spf_core.runs.checkpoint import refuse_non_numbers
from spf_core.runs.pretrained import blaming, frozen, load
from spf_core.utils.special_files import refuse_special
from spf_plugins.backbones.layouts import Layout, kept_dtype

SECOND_PAD = "!"  # what SDXL's second encoder was trained with
EDM_MARKS = {
    "edm_vpred.sigma_max",
    "edm_mean",
}  # of models with a continuous schedule (CosXL, Playground 2.5)


def load_single_file(
    layout: Layout, file: Path, clip_folder: Path, dtype: torch.dtype, settings: Path | None = None
) -> dict[str, Any]:
    """Networks, tokenizers and scheduler; RunError when the file is no checkpoint of the architecture."""
    folder = settings or settings_of(layout.name)
    tokenizer = load(CLIPTokenizer, clip_folder)
    tokenizers = {name: copy.deepcopy(tokenizer) for name in layout.tokenizers}
    if "tokenizer_2" in tokenizers:
        tokenizers["tokenizer_2"].pad_token = SECOND_PAD
    scheduler = load(DDIMScheduler, folder / "scheduler", **_schedule_of(file))
    source = {"config": str(folder), "local_files_only": True}
    absent = dict.fromkeys(("safety_checker", "feature_extractor", "image_encoder"))
    try:
        vae = AutoencoderKL.from_single_file(str(file), subfolder="vae", **source)
        parts = {**tokenizers, "scheduler": scheduler, "vae": vae}
        pipeline = getattr(diffusers, layout.pipeline).from_single_file(
            str(file), dtype=dtype, **source, **parts, **absent
        )
    except Exception as error:  # diffusers' converters raise whatever a missing tensor leads to
        raise _no_checkpoint(
            layout, file, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        ) from None
    networks = {name: getattr(pipeline, name) for name in layout.networks}
    for name, network in networks.items():
        missing = next((key for key, tensor in network.state_dict().items() if tensor.is_meta), None)
        if missing:
            raise _no_checkpoint(layout, file, f"it lacks {name}'s '{missing}'")
        refuse_non_numbers(network.state_dict(prefix=f"{name}.").items(), file)
    networks = {name: frozen(network, kept_dtype(name, dtype)) for name, network in networks.items()}
    return {**networks, **tokenizers, "scheduler": scheduler}


def _schedule_of(file: Path) -> dict[str, Any]:
    """What the file says of its noise schedule: nothing, in most of them; then eps-prediction is usual."""
    with blaming(file):
        refuse_special(file)
        with safe_open(file, framework="pt") as opened:
            names, metadata = set(opened.keys()), opened.metadata() or {}
    if found := sorted(names & EDM_MARKS):
        raise RunError(
            f"'{file}' is a model of an EDM schedule ('{found[0]}'), which has no discrete timesteps; "
            "set backbone.path to one that predicts epsilon or v"
        )
    said = said_by(names, metadata)
    settings = {"prediction_type": "v_prediction"} if said.v else {}
    return {**settings, **({"rescale_betas_zero_snr": True} if said.zero_snr else {})}


def _no_checkpoint(layout: Layout, file: Path, reason: str) -> RunError:
    return RunError(
        f"'{file}' is no complete checkpoint of a {layout.pipeline} ({reason}); set backbone.path to one, "
        "or to a folder in diffusers' layout"
    )
