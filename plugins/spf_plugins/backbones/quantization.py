"""The denoiser's linear layers in 8 or 4 bits: `int8` by a layer of our own, `nf4` by that of bitsandbytes.

diffusers quantises while it loads, and refuses bitsandbytes without a GPU. Here the loaded model is quantised
as it moves to its device: folders and single files alike, on CPUs too, after the checks of every other model.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from spf_core.utils.fake_tensors import has_values, outside_shapes_only
from spf_core.utils.optional_imports import optional

Quantize = Literal["none", "int8", "nf4"]
LARGEST = 127  # of 8 bits, the same on both sides of 0


def require_quantizer(quantize: Quantize) -> None:
    """ConfigError when its library is not installed."""
    if quantize == "nf4":
        _bitsandbytes()


def quantize_linears(
    denoiser: nn.Module, quantize: Quantize, dtype: torch.dtype, device: torch.device
) -> None:
    """Replace every linear layer; its weight goes to `device` and is packed there, one after another.

    Convolutions, norms and embeddings stay as they are: no library packs them. So do layers that are trained.
    The others compute in `dtype`. A denoiser without values (`weightless`) gets layers without values.
    """
    linears = {name: layer for name, layer in denoiser.named_modules() if type(layer) is nn.Linear}
    trained = [name for name, layer in linears.items() if layer.weight.requires_grad]
    frozen = {name: layer for name, layer in linears.items() if name not in trained}
    if quantize == "int8":
        for name, layer in frozen.items():
            denoiser.set_submodule(name, Int8Linear(layer, device))
    else:
        _to_nf4(denoiser, frozen, trained, dtype, device)
        vars(denoiser)["is_loaded_in_4bit"] = True  # by which PEFT chooses its layers
    for name in frozen:
        # As a plain layer does under autocast, which does not know these: a norm may have widened the input.
        denoiser.get_submodule(name).register_forward_pre_hook(_as_autocast_computes)


class Int8Linear(nn.Linear):
    """W = diag(scale) Q with Q in 8 bits, unpacked in every pass; a backward pass needs no more than these.

    bitsandbytes' layer also keeps its input, which gradient checkpointing does not reach, and torchao's keeps
    the unpacked weight.
    """

    def __init__(self, plain: nn.Linear, device: torch.device) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        weight_OI = plain.weight.detach().to(device)
        scale_O1 = weight_OI.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / LARGEST
        self.weight = nn.Parameter((weight_OI / scale_O1).round().to(torch.int8), requires_grad=False)
        self.register_buffer("scale_O1", scale_O1)
        self.bias = plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        product: Tensor = _Unpacking.apply(x, self.weight, self.scale_O1)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias.to(product.dtype)


class _Unpacking(Function):
    """W x for a frozen W, whose gradient needs no x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_OI: Tensor, scale_O1: Tensor) -> Tensor:
        ctx.save_for_backward(weight_OI, scale_O1)
        return F.linear(x, _unpacked(weight_OI, scale_O1, x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weight_OI, scale_O1 = ctx.saved_tensors
        return grad @ _unpacked(weight_OI, scale_O1, grad.dtype), None, None


def _unpacked(weight_OI: Tensor, scale_O1: Tensor, dtype: torch.dtype) -> Tensor:
    return weight_OI.to(dtype) * scale_O1.to(dtype)


def _to_nf4(
    denoiser: nn.Module,
    frozen: dict[str, nn.Linear],
    trained: list[str],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    library = _bitsandbytes()
    from diffusers import BitsAndBytesConfig
    from diffusers.quantizers.bitsandbytes import replace_with_bnb_linear

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    with outside_shapes_only():  # their empty weights are of a class that tensors without values cannot take
        replace_with_bnb_linear(denoiser, modules_to_not_convert=trained, quantization_config=config)
    for name, plain in frozen.items():
        layer: Any = denoiser.get_submodule(name)
        blank, weight = layer.weight, plain.weight.detach()
        layer.bias = plain.bias
        # In evaluation bitsandbytes repacks weights on some CPUs, and gives no gradient any more. The mode
        # changes nothing else.
        layer.train()
        if has_values(weight):
            layer.weight = type(blank)(weight, requires_grad=False, **vars(blank)).to(device)
            continue
        packed, layer.quant_state = library.functional.quantize_4bit(weight.to(device), quant_type="nf4")
        layer.weight = nn.Parameter(packed, requires_grad=False)
        layer.weight.quant_state = layer.quant_state


def _as_autocast_computes(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    x, *others = inputs
    kind = x.device.type
    return (x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x, *others)


def _bitsandbytes() -> Any:
    with _quiet():
        return optional("bitsandbytes", "bitsandbytes", "backbone.quantize=nf4")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without its warning of CPU kernels on a hub, which spf does not download."""
    log = logging.getLogger("bitsandbytes")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)
