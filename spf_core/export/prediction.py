"""What a single-file checkpoint says that its model predicts, and what each client takes from it.

Such a file has no scheduler settings. Empty tensors mark a model that predicts v (`v_pred`) and one whose
schedule ends in pure noise (`ztsnr`). Rules from the clients' public sources: ComfyUI
`comfy/supported_models.py`, Forge `backend/loader.py` and huggingface_guess `model_list.py`, A1111
`modules/sd_models_config.py` and `sd_models.py` (its dev branch), InvokeAI `model_manager/configs/main.py`;
diffusers' `from_single_file` takes its scheduler from a configuration, never from the file.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spf_core.errors import RunError
from spf_core.export.architecture import FAMILIES, SDXL
from spf_core.export.checkpoint import UNET_PLACE
from spf_core.utils.special_files import refuse_special

V_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"
_V_WORDS = ("v", "v_prediction")  # in modelspec.prediction_type: the standard's, and one that is met
_WAYS_OUT = {
    "diffusers": "give from_single_file config=FOLDER of the base model, or a scheduler of your own",
    "ComfyUI": "put the node ModelSamplingDiscrete (v_prediction, zsnr) behind the loader",
    "Forge": "put a NAME.yaml beside the file whose model.params.parameterization is v",
    "A1111": "put a NAME.yaml beside the file whose model.params.parameterization is v",
    "InvokeAI": "set the model's prediction type in its model manager",
}


@dataclass(frozen=True)
class Prediction:
    """Whether a model predicts v rather than epsilon, and whether its schedule ends in pure noise."""

    v: bool = False
    zero_snr: bool = False
    flow: bool = False  # the velocity of a flow, for which checkpoints have no mark

    def __str__(self) -> str:
        if self.flow:
            return "the velocity of a flow"
        return ("v" if self.v else "epsilon") + (", zero terminal SNR" if self.zero_snr else "")

    def marks(self) -> dict[str, Tensor]:
        """The empty tensors that say so in a checkpoint."""
        names = [V_MARK] * self.v + [ZERO_SNR_MARK] * self.zero_snr
        return {name: torch.zeros(0) for name in names}


@dataclass(frozen=True)
class Reading:
    """What a client takes a checkpoint for, and what to do where that is wrong.

    `absent` says why the client was not checked.
    """

    client: str
    found: Prediction = Prediction()
    way_out: str = ""
    absent: str = ""


def said_by(names: Collection[str], metadata: Mapping[str, str]) -> Prediction:
    """What the names of the tensors and the metadata say; epsilon where they say nothing, as most do."""
    declared = metadata.get("modelspec.prediction_type") in _V_WORDS
    return Prediction(declared or V_MARK in names, ZERO_SNR_MARK in names)


def is_checkpoint(file: Path) -> bool:
    """Whether the file holds a whole UNet in the original layout."""
    return any(name.startswith(UNET_PLACE) for name in _header(file)[0])


def check_checkpoint(file: Path) -> tuple[Prediction, list[Reading]]:
    """What the checkpoint says of itself, and the prediction type that each client assumes."""
    names, metadata, width = _header(file)
    meant = said_by(names, metadata)
    family = next((name for name, own in FAMILIES.items() if own == width), None)
    marked = V_MARK in names
    readings = [_reading("diffusers", Prediction(), meant)]
    if family is None:
        others = [Reading(client, absent="opens no such base model") for client in [*_WAYS_OUT][1:]]
        return meant, readings + others
    read_v = marked and family == SDXL
    found = {
        "ComfyUI": Prediction(read_v, read_v and meant.zero_snr),
        "Forge": Prediction(read_v, meant.zero_snr),
        "A1111": Prediction(read_v, meant.zero_snr),
        "InvokeAI": Prediction(),
    }
    return meant, readings + [_reading(client, each, meant) for client, each in found.items()]


def _reading(client: str, found: Prediction, meant: Prediction) -> Reading:
    return Reading(client, found, "" if found == meant else _WAYS_OUT[client])


def _header(file: Path) -> tuple[set[str], dict[str, str], int | None]:
    """Names, metadata, and the width of what cross-attention reads, without reading any tensor."""
    try:
        refuse_special(file)
        with safe_open(file, framework="pt") as opened:
            names = set(opened.keys())
            read = (
                each for each in sorted(names) if each.startswith(UNET_PLACE) and "attn2.to_k.weight" in each
            )
            first = next(read, None)
            width = opened.get_slice(first).get_shape()[-1] if first else None
            return names, dict(opened.metadata() or {}), width
    except FileNotFoundError:
        raise RunError(f"'{file}' does not exist; give a .safetensors file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(
            f"'{file}' is no safetensors file ({' '.join(str(error).split())[:120]}); "
            "get it again from its source"
        ) from None
