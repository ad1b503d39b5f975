"""Whether the parts of a model go together, found out when it is loaded and not in the middle of training.

A folder's settings may come from anybody. Libraries load many that they cannot compute with: a size that is
text, no timesteps, layers of a count that the weights do not have.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from spf_core.errors import RunError, quoted
from spf_core.runs.pretrained import blaming
from spf_core.utils.fake_tensors import shapes_only

LARGEST_SIDE = 4096  # of latents; a picture of it would be eight times as wide
_COMPUTED: set[int] = set()  # forms of the models that did compute: a benchmark opens one many times


def refuse_unsound(named: Mapping[str, Any], place: Path, denoiser: str) -> None:
    """RunError when a setting that spf reads is impossible, or the denoiser and the VAE cannot compute."""
    model, vae, tokenizer = (named[name] for name in (denoiser, "vae", "tokenizer"))
    side = model.config.sample_size
    if not _is_whole(side, LARGEST_SIDE):
        raise _wrong(place / denoiser, "sample_size", side, f"a whole number from 1 to {LARGEST_SIDE}")
    factor = vae.config.scaling_factor
    if not _is_number(factor) or factor <= 0:
        raise _wrong(place / "vae", "scaling_factor", factor, "a number above 0")
    length, most = tokenizer.model_max_length, named["text_encoder"].config.max_position_embeddings
    if not _is_whole(length, most):
        raise _wrong(place / "tokenizer", "model_max_length", length, f"a whole number from 1 to {most}")
    _refuse_no_schedule(named["scheduler"], place / "scheduler")
    if (form := _form(named)) in _COMPUTED:
        return
    joint = denoiser == "transformer"
    for name, compute in (("vae", _code), (denoiser, _denoise_jointly if joint else _denoise)):
        with blaming(place / name), shapes_only(), torch.no_grad():
            compute(named, model, side)  # the shapes alone, which takes no time
    _COMPUTED.add(form)


def _refuse_no_schedule(scheduler: Any, place: Path) -> None:
    if hasattr(scheduler, "alphas_cumprod"):
        abar_T = scheduler.alphas_cumprod
        if not len(abar_T) or not bool(((abar_T >= 0) & (abar_T <= 1)).all()):
            raise RunError(
                f"'{place}' makes no noise schedule: it must have timesteps, with values between 0 "
                f"and 1, and has {len(abar_T)}; restore the original"
            )
    elif not _is_number(scheduler.config.shift) or scheduler.config.shift <= 0:
        raise _wrong(place, "shift", scheduler.config.shift, "a number above 0")


def refuse_unsound_statistics(values: Mapping[str, Any], file: Path) -> None:
    """RunError unless CLIP's pixel mean and standard deviation are three numbers each."""
    for name, least in (("image_mean", 0.0), ("image_std", 1e-6)):
        found = values.get(name)
        sound = isinstance(found, Sequence) and len(found) == 3
        if not sound or not all(_is_number(value) and least <= value <= 1 for value in found or ()):
            raise _wrong(file, name, found, f"three numbers from {least:g} to 1")


def _form(named: Mapping[str, Any]) -> int:
    """A hash of the settings, and of the shapes and types of the weights."""
    networks = {name: part for name, part in named.items() if isinstance(part, torch.nn.Module)}
    settings = [
        (name, key, repr(value))
        for name, network in networks.items()
        for key, value in vars(network.config).items()
        if not key.startswith("_")  # where it was loaded from, and by which version
    ]
    weights = [
        (name, key, tensor.shape, tensor.dtype)
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    ]
    return hash((*settings, *weights, named["tokenizer"].model_max_length))


def _code(named: Mapping[str, Any], model: Any, side: int) -> None:
    vae = named["vae"]
    pixels = side * 2 ** (len(vae.config.block_out_channels) - 1)
    latents = vae.encode(torch.zeros(1, 3, pixels, pixels)).latent_dist.mode()
    assert latents.shape == (1, model.config.in_channels, side, side), "latents of another shape"
    assert vae.decode(latents).sample.shape == (1, 3, pixels, pixels), "pictures of another size"


def _denoise_jointly(named: Mapping[str, Any], transformer: Any, side: int) -> None:
    clips = [named[name] for name in ("text_encoder", "text_encoder_2")]
    dtype, width = transformer.dtype, named["text_encoder_3"].config.d_model
    assert sum(encoder.config.hidden_size for encoder in clips) <= width, "CLIP's texts wider than T5's"
    latents = torch.zeros(1, transformer.config.in_channels, side, side, dtype=dtype)
    predicted = transformer(
        latents,
        encoder_hidden_states=torch.zeros(1, 2, width, dtype=dtype),
        pooled_projections=torch.zeros(1, sum(each.config.projection_dim for each in clips), dtype=dtype),
        timestep=torch.zeros(1),
    ).sample
    assert predicted.shape == latents.shape, "a prediction of another shape than its input"


def _denoise(named: Mapping[str, Any], unet: Any, side: int) -> None:
    encoders = [network for name, network in named.items() if name.startswith("text_encoder")]
    width = sum(encoder.config.hidden_size for encoder in encoders)
    also = {}
    if len(encoders) > 1:
        pooled = torch.zeros(1, encoders[-1].config.projection_dim, dtype=unet.dtype)
        also = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.zeros(1, 6)}}
    latents = torch.zeros(1, unet.config.in_channels, side, side, dtype=unet.dtype)
    texts = torch.zeros(1, named["tokenizer"].model_max_length, width, dtype=unet.dtype)
    predicted = unet(latents, torch.zeros(1), encoder_hidden_states=texts, **also).sample
    assert predicted.shape == latents.shape, "a prediction of another shape than its input"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _wrong(place: Path, name: str, value: Any, wanted: str) -> RunError:
    return RunError(f"'{place}': {name} must be {wanted}, got {quoted(value, 40)}; restore the original")
