"""Tensors with shapes and no values: what a computation takes, found without computing it.

FakeTensorMode and TorchDispatchMode have no public name, though PyTorch's documentation describes both ("Fake
tensor", "Extending PyTorch"). Only this file imports them. The public meta device would not do: autocast does
not know it, so a bf16 run would be estimated as one of float32.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, TypeVar
from weakref import finalize

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

GRAIN = 512  # bytes; CUDA's allocator gives multiples of it
ATEN = torch.ops.aten
T = TypeVar("T")


def has_values(tensor: Tensor) -> bool:
    """Whether it is no tensor of a rehearsal."""
    return not isinstance(tensor, FakeTensor)


def shapes_only() -> AbstractContextManager[Any]:
    """Within the context operations find shapes, types and devices, and read no values."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def outside_shapes_only() -> AbstractContextManager[Any]:
    """Within the context new tensors have values, also where `shapes_only` is on around it."""
    return unset_fake_temporarily()


@contextmanager
def weightless(device: torch.device, parts: T) -> Iterator[tuple[T, list[Tensor]]]:
    """A copy of the parts without values, and its tensors; within the context every tensor is like that."""
    fake = shapes_only()
    with Weightless(fake, device) as copied:
        copies = copy.deepcopy(parts, copied.quantized(parts))
    with fake, Assumed(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what real tensors would not be warned of
        yield copies, copied.tensors


class Weightless(TorchFunctionMode):
    """Within the context copies have no values; what is on the meta device is copied to `device`."""

    def __init__(self, fake: AbstractContextManager[Any], device: torch.device) -> None:
        super().__init__()
        self.fake, self.device, self.tensors = fake, device, list[Tensor]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Copy a tensor, or do what is asked."""
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._like(tensor)
            return memo[id(tensor)]
        if func is Tensor.clone:  # how a parameter is copied
            return self._like(args[0])
        return func(*args, **(kwargs or {}))

    def quantized(self, parts: Any) -> dict[int, Any]:
        """Copies of weights whose class copies itself, by their ids: those of bitsandbytes.

        Tensors without values cannot be of such a class. Its layers read the numbers and what stands beside.
        """
        memo: dict[int, Any] = {}
        for part in parts if isinstance(parts, tuple) else (parts,):
            for module in (each for each in vars(part).values() if isinstance(each, nn.Module)):
                for weight in module.parameters():
                    if "__deepcopy__" in vars(type(weight)) and type(weight) is not nn.Parameter:
                        memo[id(weight)] = made = nn.Parameter(self._like(weight.data), requires_grad=False)
                        for name, value in vars(weight).items():
                            setattr(made, name, None if name == "module" else copy.deepcopy(value, memo))
        return memo

    def _like(self, tensor: Tensor) -> Tensor:
        device = self.device if tensor.is_meta else tensor.device
        with self.fake:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        self.tensors.append(made)
        return made.requires_grad_(tensor.requires_grad)


@contextmanager
def autocast_of_cuda() -> Iterator[None]:
    """Within the context autocast on the CPU computes norms and softmax in float32, as CUDA's does.

    A mode would not do: it is off while gradient checkpointing computes a part again.
    """
    plain = [(place, name, getattr(place, name)) for place, name in _IN_FLOAT32]
    try:
        for place, name, function in plain:
            setattr(place, name, _widened(function))
        yield
    finally:
        for place, name, function in plain:
            setattr(place, name, function)


_IN_FLOAT32 = ((F, "layer_norm"), (F, "group_norm"), (F, "softmax"), (Tensor, "softmax"))


def _widened(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return function(*args, **kwargs)
        return function(*map(_wide, args), **{name: _wide(value) for name, value in kwargs.items()})

    return call


def _wide(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


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
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count what it returns."""
        for tensor in _tensors((args, kwargs)):
            self._count(tensor, known=True)
        found = func(*args, **(kwargs or {}))
        for tensor in _tensors(found):
            self._count(tensor, known=False)
        self.peak = max(self.peak, self.now)
        return found

    def _count(self, tensor: Tensor, *, known: bool) -> None:
        number = storage_id(tensor)
        if tensor.device.type != self.device or number in self._alive:
            return
        storage = tensor.untyped_storage()
        size = 0 if known else rounded(storage.nbytes())  # what an operation is given was there before
        self._alive.add(number)
        self.now += size
        finalize(storage, self._let_go, number, size)

    def _let_go(self, number: int, size: int) -> None:
        self._alive.discard(number)
        self.now -= size


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple | dict):
        for each in values.values() if isinstance(values, dict) else values:
            yield from _tensors(each)


def storage_id(tensor: Tensor) -> int:
    """The same for tensors that share their memory, as long as one of them lives."""
    return id(tensor.untyped_storage())  # torch keeps a storage's Python object as long as the storage


def rounded(size: int) -> int:
    """What an allocator gives for it."""
    return -(-size // GRAIN) * GRAIN
