"""Recording attention to the text: probabilities, queries and features of a denoiser's attention sites.

A backbone names its sites (`Backbone.attention_sites`). The two kinds here are those of UNets, whose
cross-attention layers have text keys alone, and of transformers that attend to image and text at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from spf_core.interfaces import AttentionSite, Capture, Captured


@contextmanager
def record(sites: Sequence[AttentionSite], capture: Capture) -> Iterator[Captured]:
    """Record what `capture` asks for while the context is open; the layers are as before when it closes."""
    captured = Captured()
    sites = sites if capture.attention or capture.queries else ()
    with ExitStack() as stack:
        stack.enter_context(_recording(sites, capture, captured))
        token = _recomputed.set((sites, capture))
        stack.callback(_recomputed.reset, token)
        yield captured


_recomputed: ContextVar[tuple[Sequence[AttentionSite], Capture] | None] = ContextVar(
    "recomputed", default=None
)


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
def _recording(sites: Sequence[AttentionSite], capture: Capture, captured: Captured) -> Iterator[None]:
    with ExitStack() as stack:
        for site in sites:
            stack.enter_context(site.recording(capture, captured))
        yield


@contextmanager
def _swapped(layer: Any, processor: Any) -> Iterator[None]:
    stock = layer.processor
    layer.set_processor(processor)
    try:
        yield
    finally:
        layer.set_processor(stock)


@contextmanager
def _watched(to_q: nn.Module, name: str, captured: Captured) -> Iterator[None]:
    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], query_BQD: Tensor) -> None:
        captured.queries[name], captured.hidden[name] = query_BQD, inputs[0]

    handle = to_q.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class _Site:
    """A layer of diffusers' `Attention`, whose image queries come from `to_q`."""

    name: str
    layer: Any

    @property
    def to_q(self) -> nn.Module:
        """The projection of the image positions' queries."""
        module: nn.Module = self.layer.to_q
        return module

    @contextmanager
    def recording(self, capture: Capture, captured: Captured) -> Iterator[None]:
        """Within the context every pass records what `capture` asks for."""
        with ExitStack() as stack:
            if capture.attention:
                stack.enter_context(_swapped(self.layer, self._recorder(captured)))
            if capture.queries:
                stack.enter_context(_watched(self.to_q, self.name, captured))
            yield

    def _recorder(self, captured: Captured) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class CrossAttentionSite(_Site):
    """A cross-attention layer of a UNet after `halvings` convolutions of stride 2."""

    halvings: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Each convolution halves a side and rounds up."""
        for _ in range(self.halvings):
            height, width = -(-height // 2), -(-width // 2)
        return height, width

    def _recorder(self, captured: Captured) -> "RecordingProcessor":
        return RecordingProcessor(self.name, captured)


@dataclass(frozen=True)
class JointAttentionSite(_Site):
    """A layer of a transformer that attends to image and text tokens at once, the image's first.

    A position stands for a patch of `patch` x `patch` latents.
    """

    patch: int

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """A position for each patch."""
        return height // self.patch, width // self.patch

    def _recorder(self, captured: Captured) -> "JointRecordingProcessor":
        return JointRecordingProcessor(self.name, self.layer.processor, captured)


class JointRecordingProcessor:
    """Runs the stock processor untouched and, beside it, computes image queries x text keys.

    The softmax runs over image and text keys, as it does in the layer, so that a position's attention to the
    text adds up to less than 1. (A softmax over the text keys alone would be a renormalised one.)
    """

    def __init__(self, name: str, stock: Any, captured: Captured) -> None:
        self.name, self.stock, self.captured = name, stock, captured

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return what the stock processor returns."""
        assert encoder_hidden_states is not None, "a site reads the text"
        with _AttentionCalls() as calls:
            found = self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, **options)
        assert len(calls.seen) == 1, "the layer attends once"
        query_BNSE, key_BNSE = calls.seen[0]
        images = hidden_states.shape[1]  # their tokens come first in the sequence S
        self.captured.attention[self.name] = _text_columns(query_BNSE[:, :, :images], key_BNSE, images)
        return found


class _AttentionCalls(TorchFunctionMode):
    """Keeps queries and keys of the calls of torch's attention, which computes what it always does."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Keep the first two arguments of `F.scaled_dot_product_attention`."""
        if func is F.scaled_dot_product_attention:
            self.seen.append((args[0], args[1]))
        return func(*args, **(kwargs or {}))


def _text_columns(query_BNQE: Tensor, key_BNSE: Tensor, images: int) -> Tensor:
    """Mean over heads of softmax(Q K^T / sqrt(E))[..., images:], B Q L.

    Head by head, and computed again in the backward pass: image positions attend to each other as well, and
    at 1024 pixels the probabilities of all heads would take gigabytes.
    """
    heads = query_BNQE.shape[1]

    def of_head(query_BQE: Tensor, key_BSE: Tensor) -> Tensor:
        scores_BQS: Tensor = query_BQE.float() @ key_BSE.float().transpose(1, 2) * query_BQE.shape[-1] ** -0.5
        return scores_BQS.softmax(-1)[..., images:]

    parts = [
        checkpoint(of_head, query_BNQE[:, head], key_BNSE[:, head], use_reentrant=False)
        for head in range(heads)
    ]
    return torch.stack(parts).mean(0)


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
