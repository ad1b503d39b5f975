"""Recording cross-attention: probabilities and queries of every `attn2` layer during a forward pass."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spf_core.interfaces.types import Capture


@dataclass(frozen=True)
class Captured:
    """What was recorded, by layer name: mean probabilities (B Q L), outputs and inputs of `to_q` (B Q D)."""

    attention: dict[str, Tensor] = field(default_factory=dict)
    queries: dict[str, Tensor] = field(default_factory=dict)
    hidden: dict[str, Tensor] = field(default_factory=dict)


def cross_attention_layers(denoiser: nn.Module) -> dict[str, Any]:
    """Cross-attention modules by name, such as `mid_block.attentions.0.transformer_blocks.0.attn2`."""
    return {
        name: module
        for name, module in denoiser.named_modules()
        if name.endswith("attn2") and hasattr(module, "set_processor")
    }


@contextmanager
def record(denoiser: nn.Module, capture: Capture) -> Iterator[Captured]:
    """Record what `capture` asks for while the context is open; the layers are as before when it closes.

    Explicit probabilities are computed only where they are recorded; self-attention is never touched.
    """
    captured = Captured()
    layers = cross_attention_layers(denoiser) if capture.attention or capture.queries else {}
    with ExitStack() as stack:
        stack.enter_context(_recording(layers, capture, captured))
        token = _recomputed.set((layers, capture))
        stack.callback(_recomputed.reset, token)
        yield captured


_recomputed: ContextVar[tuple[dict[str, Any], Capture] | None] = ContextVar("recomputed", default=None)


def checkpointed(module: Any, *inputs: Any) -> Any:
    """Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174) of a part of the denoiser.

    The part computes the very same a second time, recording included, as saved tensors are matched by order;
    what that records is dropped.
    """
    recording = _recomputed.get()

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        again = _recording(*recording, Captured()) if recording and recording[0] else nullcontext()
        return nullcontext(), again

    return checkpoint(module, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _recording(layers: dict[str, Any], capture: Capture, captured: Captured) -> Iterator[None]:
    with ExitStack() as stack:
        for name, layer in layers.items():
            if capture.attention:
                stack.enter_context(_swapped(layer, RecordingProcessor(name, captured)))
            if capture.queries:
                stack.enter_context(_watched(layer, name, captured))
        yield


@contextmanager
def _swapped(layer: Any, processor: "RecordingProcessor") -> Iterator[None]:
    stock = layer.processor
    layer.set_processor(processor)
    try:
        yield
    finally:
        layer.set_processor(stock)


@contextmanager
def _watched(layer: Any, name: str, captured: Captured) -> Iterator[None]:
    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], query_BQD: Tensor) -> None:
        captured.queries[name], captured.hidden[name] = query_BQD, inputs[0]

    handle = layer.to_q.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


class RecordingProcessor:
    """Computes what diffusers' stock cross-attention processor does, with the probabilities in the open."""

    def __init__(self, name: str, captured: Captured) -> None:
        self.name = name
        self.captured = captured

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the layer's output (B Q D) and record softmax(QK^T / sqrt(d)), averaged over heads."""
        batch, tokens, _ = encoder_hidden_states.shape
        mask = attn.prepare_attention_mask(attention_mask, tokens, batch)
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key, mask)
        per_head_BNQL = probabilities.unflatten(0, (batch, attn.heads))
        self.captured.attention[self.name] = per_head_BNQL.float().mean(dim=1)
        mixed = attn.batch_to_head_dim(torch.bmm(probabilities.to(value.dtype), value))
        output: Tensor = attn.to_out[1](attn.to_out[0](mixed))
        return output
