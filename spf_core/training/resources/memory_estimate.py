"""Estimates the memory of a training step, by running it on tensors that have shapes and no values.

The model is copied without its weights, and one whole step runs on the copy, forward and backward, while the
bytes of every storage are counted from when it is made until it is let go.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.texts import text_parameters
from spf_core.errors import SpfError
from spf_core.interfaces import Adapter, Backbone, Checkpointing, OffloadsTextEncoders, Quantizable
from spf_core.interfaces.types import Batch
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import AdapterConfig
from spf_core.preparation.encoding import widen
from spf_core.utils.fake_tensors import Counted, rounded, storage_id, weightless
from spf_core.utils.prompts import Prompt

ALL_ON = 1 - 1e-9  # progress at which every term counts
PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}
_ATTACHED: set[tuple[type, str, str]] = set()  # adapters and backbones of this process that went together


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device: weights by part and dtype, what the step keeps for its backward pass, at most.

    `peak` includes the weights and the gradients, and nothing that an optimizer keeps.
    """

    weights: Mapping[tuple[str, torch.dtype], int]
    kept: int
    peak: int


def estimate_memory(
    config: RunConfig,
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
    *,
    quantize: str = "none",
    parks: bool | None = None,
) -> MemoryEstimate:
    """One step of pictures of width and height `size`, every term on; nothing passed in is changed.

    Where the step depends on values every row goes the dearest way. With `quantize`, a backbone that is not
    quantised is reckoned as if it were. `parks`: whether idle encoders leave the device; by default, if it is
    no CPU. Raises what the step raises.
    """
    parks = backbone.device.type != "cpu" if parks is None else parks
    with weightless(backbone.device, (backbone, adapter)) as ((backbone, adapter), tensors):
        tensors = quantized(backbone, quantize, tensors)
        parts, batch = (
            build_parts(config.step, backbone, adapter),
            empty_batch(config, backbone, prompts, size),
        )
        weights = weights_of(backbone, tensors, parked=parks and not text_parameters(adapter))
        if config.train.gradient_checkpointing and isinstance(backbone, Checkpointing):
            backbone.checkpoint_gradients()
        generator = torch.Generator().manual_seed(0)
        with Counted(backbone.device) as memory:
            with autocast(config.train.precision, backbone.device):
                state, report = dual_path_step(parts, batch, ALL_ON, generator=generator)
            total = report.total
            del state, report
            kept = memory.now
            if total.requires_grad:
                torch.autograd.backward(total)
    return MemoryEstimate(weights, kept, memory.peak + sum(weights.values()))


def check_attaching(config: AdapterConfig, backbone: Backbone) -> None:
    """Attach the adapter to a copy of the backbone; nothing passed in is changed.

    Raises the SpfErrors of targets that match nothing. What a copy without values cannot do is no fault.
    """
    pair = type(config), config.model_dump_json(), backbone.fingerprint()
    if pair in _ATTACHED:
        return
    try:
        with weightless(backbone.device, backbone) as (copied, _):
            attach(config, built(config), copied)
        _ATTACHED.add(pair)
    except SpfError as error:
        if error.__cause__ is None or isinstance(error.__cause__, SpfError):
            raise
    except Exception:
        return


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """As a run of this `train.precision` computes."""
    dtype = PRECISION.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def empty_batch(
    config: RunConfig, backbone: Backbone, prompts: Sequence[Prompt], size: tuple[int, int]
) -> Batch:
    """A batch of black pictures with everything that any term may read."""
    count, (width, height) = config.train.batch_size, size
    several = [prompts[row % len(prompts)] for row in range(count)]
    pixels = torch.zeros(count, 3, height, width, device=backbone.device)
    latents = backbone.encode_images(pixels)
    complete = backbone.encode_prompts(several, with_target=True)
    mask = latents.new_ones(count, 1, *latents.shape[-2:])
    counterfactuals = config.counterfactuals.enabled
    with torch.no_grad():
        embeds = backbone.embed_images(pixels)
    return Batch(
        ids=tuple(f"{row}" for row in range(count)),
        prompts=tuple(several),
        latents_BCHW=latents,
        rows=torch.arange(count, device=backbone.device),
        complete=complete,
        base=backbone.encode_prompts(several, with_target=False),
        empty=widen(backbone.encode_prompts([Prompt("")], with_target=False), complete.phrase_BPL.shape[1]),
        image_embeds_BD=embeds,
        without_BCHW=latents.clone() if counterfactuals else None,
        region_B1HW=mask.clone() if counterfactuals else None,
        target=backbone.encode_prompts([Prompt(p.target_text or "") for p in several], with_target=False),
        mask_B1HW=mask,
        released_BL=complete.pad_BL.clone() if config.train.release else None,
        class_BCHW=latents.clone() if "class_images" in config.needs else None,
    )


def weights_of(
    backbone: Backbone, copied: Iterable[Tensor], *, parked: bool
) -> dict[tuple[str, torch.dtype], int]:
    """Bytes by part and dtype of what lies on the backbone's device; `parked`: without idle text encoders.

    `copied` are all tensors of backbone and adapter, parts or not.
    """
    named = {**vars(backbone), **getattr(backbone.pipeline(), "components", {})}
    parts = {name: part for name, part in named.items() if isinstance(part, nn.Module)}
    gone = set[int]()
    if parked and isinstance(backbone, OffloadsTextEncoders):
        gone = {storage_id(tensor) for encoder in backbone.encoders() for tensor in _tensors(encoder)}
    found, counted = Counter[tuple[str, torch.dtype]](), gone
    for name, tensors in [*((name, _tensors(part)) for name, part in parts.items()), ("other", copied)]:
        for tensor in tensors:
            if tensor.device.type == backbone.device.type and storage_id(tensor) not in counted:
                counted.add(storage_id(tensor))
                found[name, tensor.dtype] += rounded(tensor.untyped_storage().nbytes())
    return dict(found)


def quantized(backbone: Backbone, quantize: str, tensors: list[Tensor]) -> list[Tensor]:
    """Quantise a copy without values if it is not, and return what is left of its tensors."""
    if quantize in ("none", getattr(backbone, "quantized", "none")):
        return tensors
    assert isinstance(backbone, Quantizable), "others have no such option"
    plain = {storage_id(tensor) for tensor in _tensors(backbone.denoiser)}
    backbone.quantize(quantize, backbone.device)
    gone = plain - {storage_id(tensor) for tensor in _tensors(backbone.denoiser)}
    return [tensor for tensor in tensors if storage_id(tensor) not in gone]


def _tensors(part: nn.Module) -> list[Tensor]:
    found = [*part.parameters(), *part.buffers()]
    packings = (
        vars(tensor).get("quant_state") for tensor in found
    )  # bitsandbytes keeps the scales of blocks there
    return found + [packing.absmax for packing in packings if packing is not None]
