"""Estimates the memory of a training step, by running it on tensors that have shapes and no values.

The model is copied without its weights (torch's FakeTensorMode), and one whole step runs on the copy, forward
and backward, while the bytes of every storage are counted from when it is made until it is let go.
"""

import copy
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import finalize

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.texts import text_parameters
from spf_core.errors import SpfError
from spf_core.interfaces import Adapter, Backbone, Checkpointing, OffloadsTextEncoders
from spf_core.interfaces.types import Batch
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import AdapterConfig
from spf_core.preparation.encoding import widen
from spf_core.utils.prompts import Prompt

ALL_ON = 1 - 1e-9  # progress at which every term counts
GRAIN = 512  # bytes; CUDA's allocator gives multiples of it
PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}
ATEN = torch.ops.aten
T = TypeVar("T")
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
) -> MemoryEstimate:
    """One step of pictures of width and height `size`, every term on; nothing passed in is changed.

    Where the step depends on values every row goes the dearest way. Raises what the step raises.
    """
    with weightless(backbone.device, (backbone, adapter)) as ((backbone, adapter), tensors):
        parts, batch = (
            build_parts(config.step, backbone, adapter),
            empty_batch(config, backbone, prompts, size),
        )
        weights = weights_of(backbone, tensors, parked=not text_parameters(adapter))
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


@contextmanager
def weightless(device: torch.device, parts: T) -> Iterator[tuple[T, list[Tensor]]]:
    """A copy of the parts without values, and its tensors; within the context every tensor is like that."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with Weightless(fake, device) as copied:
        copies = copy.deepcopy(parts)
    with fake, Assumed(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what real tensors would not be warned of
        yield copies, copied.tensors


class Weightless(TorchFunctionMode):
    """Within the context copies have no values; what is on the meta device is copied to `device`."""

    def __init__(self, fake: FakeTensorMode, device: torch.device) -> None:
        super().__init__()
        self.fake, self.device, self.tensors = fake, device, list[Tensor]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Copy a tensor, or do what is asked."""
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._like(tensor)
            return memo[id(tensor)]
        if func is torch._C.TensorBase.clone:  # how a parameter is copied
            return self._like(args[0])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    def _like(self, tensor: Tensor) -> Tensor:
        device = self.device if tensor.is_meta else tensor.device
        with self.fake:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        self.tensors.append(made)
        return made.requires_grad_(tensor.requires_grad)


class Assumed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers what depends on values: numbers are 1, conditions true, nothing is zero, no two are equal."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, or answer for it."""
        if func is ATEN._local_scalar_dense.default:
            return True if args[0].dtype == torch.bool else 1
        if func is ATEN.index.Tensor:
            args = (args[0], [place for each in args[1] for place in _places(each)])
        if func is ATEN.bincount.default:
            return args[0].new_ones(args[2] if len(args) > 2 else args[0].numel())
        if func is ATEN.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].ndim), dtype=torch.long)
        return func(*args, **(kwargs or {}))


def _places(chosen: Tensor | None) -> list[Tensor | None]:
    """Indices in place of a mask: all that it could choose."""
    if chosen is None or chosen.dtype != torch.bool:
        return [chosen]
    return [chosen.new_zeros(chosen.numel(), dtype=torch.long) for _ in range(chosen.ndim)]


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that are made on a device while it is open: `now` and, at most, `peak`."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self.now, self.peak = device.type, 0, 0
        self._seen: MutableMapping[torch.UntypedStorage, int] = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it returns."""
        for storage in self._storages((args, kwargs)):
            self._seen.setdefault(storage, 0)
        found = func(*args, **(kwargs or {}))
        for storage in self._storages(found):
            if storage not in self._seen:
                self._seen[storage] = size = rounded(storage.nbytes())
                finalize(storage, self._let_go, size)
                self.now += size
        self.peak = max(self.peak, self.now)
        return found

    def _storages(self, values: Any) -> Iterable[torch.UntypedStorage]:
        for value in tree_leaves(values):
            if isinstance(value, Tensor) and value.device.type == self.device:
                yield value.untyped_storage()

    def _let_go(self, size: int) -> None:
        self.now -= size


def rounded(size: int) -> int:
    """What an allocator gives for it."""
    return -(-size // GRAIN) * GRAIN


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
    """Bytes by part and dtype of what lies on the backbone's device; `parked`: as it does while it trains.

    `copied` are all tensors of backbone and adapter, parts or not.
    """
    named = {**vars(backbone), **getattr(backbone.pipeline(), "components", {})}
    parts = {name: part for name, part in named.items() if isinstance(part, nn.Module)}
    gone = set[int]()
    if parked and backbone.device.type != "cpu" and isinstance(backbone, OffloadsTextEncoders):
        gone = {_place(tensor) for encoder in backbone.encoders() for tensor in _tensors(encoder)}
    found, counted = Counter[tuple[str, torch.dtype]](), gone
    for name, tensors in [*((name, _tensors(part)) for name, part in parts.items()), ("other", copied)]:
        for tensor in tensors:
            if tensor.device.type == backbone.device.type and _place(tensor) not in counted:
                counted.add(_place(tensor))
                found[name, tensor.dtype] += rounded(tensor.untyped_storage().nbytes())
    return dict(found)


def _tensors(part: nn.Module) -> list[Tensor]:
    return [*part.parameters(), *part.buffers()]


def _place(tensor: Tensor) -> int:
    """The same for tensors that share their memory."""
    return int(tensor.untyped_storage()._cdata)
