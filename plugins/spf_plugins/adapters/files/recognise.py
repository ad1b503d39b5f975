"""What a file of weights is, from its name, its keys and its shapes: for messages that say what to do."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from spf_core.errors import RunError, short
from spf_core.runs.checkpoint import read_header, read_safetensors

GET_AGAIN = "get the file from its source again"
_WIDTHS = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2", 2048: "SDXL", 1280: "SDXL"}
_ELSEWHERE = (  # words that only the keys of other architectures hold
    (("double_blocks", "single_blocks", "single_transformer_blocks"), "FLUX"),
    (("joint_blocks", "add_q_proj", "context_block"), "Stable Diffusion 3"),
    (("lora_prior_unet",), "Stable Cascade"),
)
_OTHER_KINDS = {  # ways to adapt a model whose keys end like this, and that are not read
    ".oft_blocks": "OFT",
    ".oft_R.weight": "OFT",
    ".boft_blocks": "BOFT",
    ".on_input": "IA3",
    ".a1.weight": "GLoRA",
    ".vera_lambda_b": "VeRA",
}


def read_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; RunError for any other format, which is never read."""
    read_header(file, GET_AGAIN)
    return read_safetensors(file, GET_AGAIN)


def refuse_no_lora(file: Path, tensors: Mapping[str, Tensor]) -> RunError:
    """The error for a file whose keys name no update of any layer."""
    for end, kind in _OTHER_KINDS.items():
        if any(key.endswith(end) for key in tensors):
            return RunError(
                f"'{file}' is a file of kind {kind}, which spf does not read; give a LoRA, DoRA, LoHa or LoKr"
            )
    if is_embedding(tensors):
        return RunError(
            f"'{file}' is a textual-inversion embedding, which changes no weights; give a LoRA file or a "
            "checkpoint"
        )
    example = f", its first key is '{short(next(iter(tensors)))}'" if tensors else ""
    return RunError(f"'{file}' holds no LoRA{example}; give a LoRA file, or a checkpoint of the base model")


def is_embedding(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the file holds rows of a text encoder's vocabulary and nothing else."""
    names = {"emb_params", "clip_l", "clip_g", "text_encoders_0", "text_encoders_1"}
    rows = all(tensor.ndim <= 2 for tensor in tensors.values())
    return (
        0 < len(tensors) <= 2 and rows and (tensors.keys() <= names or all("." not in key for key in tensors))
    )


def refuse_other_base(file: Path, reason: str, looks_like: str | None, base: str) -> RunError:
    """The error for a file that was made for another base model."""
    other = f"; it looks like a file for {looks_like}" if looks_like else ""
    return RunError(
        f"'{file}' does not fit the base model ({reason}){other}, and the base is {base}; choose the "
        "--backbone that it was trained on"
    )


def base_called(width: int) -> str:
    """What has cross-attention that reads this width."""
    return _WIDTHS.get(width, f"a model whose cross-attention reads a width of {width}")


def base_of(
    keys: Mapping[str, str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> str | None:
    """Which base model a file looks like; None where nothing says it.

    `keys` are those of the first factors, by the layer's name in the file.
    """
    for words, name in _ELSEWHERE:
        if any(word in key for key in tensors for word in words):
            return name
    for layer, key in keys.items():
        flat = layer.replace(".", "_")
        if flat.endswith(("attn2_to_k", "attn2_to_v")) and tensors[key].ndim > 1:
            return base_called(tensors[key].shape[1])
    said = metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture")
    return f"'{short(said)}', as its metadata says" if said else None
