"""The weights of a whole model, from a single file or a folder, under the names of a backbone."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from spf_core.errors import RunError, short
from spf_core.export.checkpoint import UNET_PLACE, attention_above, from_open_clip, text_place
from spf_core.export.names import TEXT_1, TEXT_2, UNET, has_kohya_names, ldm_unet, text_layer
from spf_core.export.prediction import said_by
from spf_core.interfaces import Backbone
from spf_core.runs.checkpoint import UNREADABLE, read_safetensors
from spf_core.utils.json_text import read_json
from spf_plugins.adapters.files.recognise import GET_AGAIN, read_weights

Read = Callable[[str], Tensor]  # a parameter's name in diffusers -> its tensor; KeyError without it
_WAY_OUT = "choose the --backbone that it was made from"
_log = logging.getLogger("spf")


def model_parts(backbone: Backbone) -> dict[str, nn.Module]:
    """The UNet and the text encoders by part."""
    components = backbone.pipeline().components
    return {part: components[part] for part in (UNET, TEXT_1, TEXT_2) if components.get(part) is not None}


def changed_weights(path: Path, backbone: Backbone) -> dict[str, Tensor]:
    """The tensors that differ from the backbone's, by part and parameter, in its number format.

    RunError when the file is damaged, or is a model of another architecture. The VAE is not looked at.
    """
    if not has_kohya_names(backbone):
        raise RunError(
            f"'{path}' cannot be read for a {type(backbone.pipeline()).__name__}: spf reads checkpoints of "
            "UNets; choose sd15, sdxl or mini with --backbone"
        )
    readers = _of_folder(path, backbone) if path.is_dir() else _of_file(path, backbone)
    found = {}
    for part, model in model_parts(backbone).items():
        if (read := readers.get(part)) is None:
            _log.warning("'%s' has no %s; the base model's is used", path, part)
            continue
        for name, own in model.named_parameters():
            tensor = _fitting(path, part, name, own, read)
            if not tensor.equal(own.detach().cpu()):
                found[f"{part}.{name}"] = tensor
    if not found:
        raise RunError(f"'{path}' holds the weights of the base model itself; there is nothing to measure")
    return found


def _fitting(path: Path, part: str, name: str, own: Tensor, read: Read) -> Tensor:
    try:
        tensor = read(name)
    except KeyError:
        raise RunError(
            f"'{path}' is no model of the base's architecture: it lacks the {part}'s '{name}'; {_WAY_OUT}"
        ) from None
    if tensor.shape != own.shape:
        shapes = f"{list(tensor.shape)} instead of {list(own.shape)}"
        raise RunError(
            f"'{path}' is a model of another architecture: its {part}'s '{name}' has shape {shapes}; "
            f"{_WAY_OUT}"
        )
    return tensor.to(own.dtype)


def _of_file(file: Path, backbone: Backbone) -> dict[str, Read]:
    tensors, metadata = read_weights(file)
    _refuse_prediction(file, backbone, v=said_by(tensors.keys(), metadata).v)
    unet, parts = backbone.denoiser, model_parts(backbone)
    layers, above = unet.config.layers_per_block, attention_above(unet)  # type: ignore[union-attr]

    def of_unet(name: str) -> Tensor:
        return tensors[UNET_PLACE + ldm_unet(name, layers, above)]  # type: ignore[arg-type]

    known = {UNET_PLACE + ldm_unet(name, layers, above) for name, _ in unet.named_parameters()}  # type: ignore[arg-type]
    surplus = [key for key in tensors if key.startswith(UNET_PLACE) and key not in known]
    if surplus:
        raise RunError(
            f"'{file}' is a model of another architecture: the base has no '{short(surplus[0])}'; {_WAY_OUT}"
        )
    first = _below(tensors, text_place(TEXT_1, two_encoders=TEXT_2 in parts))
    second = _below(tensors, text_place(TEXT_2, two_encoders=True))
    readers: dict[str, Read] = {UNET: of_unet}
    if first:
        readers[TEXT_1] = lambda name: first[text_layer(name)]
    if second:
        readers[TEXT_2] = lambda name: from_open_clip(name, second)
    return readers


def _below(tensors: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
    return {key.removeprefix(place): tensor for key, tensor in tensors.items() if key.startswith(place)}


def _of_folder(folder: Path, backbone: Backbone) -> dict[str, Read]:
    settings = folder / "scheduler" / "scheduler_config.json"
    if settings.is_file():
        try:
            said = dict(read_json(settings)).get("prediction_type")
        except UNREADABLE as error:
            raise RunError(f"'{settings}' is damaged ({short(str(error))}); {GET_AGAIN}") from None
        _refuse_prediction(folder, backbone, v=said == "v_prediction")
    found = {part: _tensors_in(folder / part) for part in model_parts(backbone)}
    if not found[UNET]:
        raise RunError(
            f"'{folder}' has no unet/*.safetensors; give a folder in diffusers' layout, a run or a file"
        )
    readers: dict[str, Read] = {}
    for part, tensors in found.items():
        if tensors:
            named = {name if part == UNET else text_layer(name): each for name, each in tensors.items()}
            readers[part] = _reader(part, named)
    return readers


def _reader(part: str, tensors: Mapping[str, Tensor]) -> Read:
    return lambda name: tensors[name if part == UNET else text_layer(name)]


def _tensors_in(folder: Path) -> dict[str, Tensor]:
    """Of a part's shards, or of its one file; plain weights win over variants such as fp16."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [file for file in files if not {"fp16", "non_ema"} & set(file.name.split("."))]
    found: dict[str, Tensor] = {}
    for file in plain or files:
        found |= read_safetensors(file, GET_AGAIN)[0]
    return found


def _refuse_prediction(path: Path, backbone: Backbone, *, v: bool) -> None:
    base = backbone.pipeline().scheduler.config.prediction_type == "v_prediction"
    if v and not base:
        raise RunError(
            f"'{path}' predicts v, and the base model epsilon; choose a --backbone that predicts v"
        )
