"""Processes that work on one thing together, as torchrun or accelerate launch started them.

An exchange of small objects comes before every other collective. A process that fails says so in it, so that
the main process can name the fault and end the run; the launcher then ends the others. Where each holds a
share of the weights every pass is a collective: there the first to fail speaks for itself.
"""

import atexit
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from spf_core.errors import InterruptedRunError, RunError, SpfError
from spf_core.utils.interrupts import end_at_once_on_sigterm

if TYPE_CHECKING:
    from torch import Tensor, nn

PROCESSES = "spf_processes"  # in the metadata of weights
BUCKET = 2**25  # values that are averaged at once
PATIENCE = timedelta(days=7)  # the others wait while the main process draws or evaluates
_log = logging.getLogger("spf")
_GRACE = 60.0  # seconds in which the launcher ends the others
_INTERRUPTED = "interrupted"
_MOMENT = 5.0  # seconds in which another process says what went wrong


def world_size() -> int:
    """How many processes the launcher started; 1 without one. Torch-free."""
    return int(os.environ.get("WORLD_SIZE") or 1) if "RANK" in os.environ else 1


def wants_shards() -> bool:
    """Whether Accelerate's launcher or settings ask for FSDP. Torch-free."""
    return world_size() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def is_main() -> bool:
    """Whether this process is the first of those the launcher started. Torch-free."""
    return world_size() == 1 or os.environ["RANK"] == "0"


def prints_messages() -> bool:
    """Whether this process may write to the terminal: one on each machine does. Torch-free."""
    return world_size() == 1 or os.environ.get("LOCAL_RANK", "0") == "0"


class LostError(RunError):
    """Processes that worked together no longer hear each other."""


@dataclass(frozen=True)
class ProcessGroup:
    """One process among those of the run or evaluation."""

    rank: int = 0
    count: int = 1
    way_out: str = ""  # what to do when they lose each other
    sharded: bool = False  # whether each holds a share of the weights

    @property
    def main(self) -> bool:
        """Whether this process writes what the run leaves behind."""
        return self.rank == 0

    @property
    def metadata(self) -> dict[str, str]:
        """What weights say of the processes that trained them; nothing of one alone."""
        return {PROCESSES: str(self.count)} if self.count > 1 else {}

    def warn_of_other_count(self, metadata: Mapping[str, str]) -> None:
        """Log it when the run whose `metadata` that is goes on with another number of processes."""
        before = metadata.get(PROCESSES, "1")
        if metadata and before != str(self.count) and self.main:
            _log.warning(
                "%s process(es) trained the run so far, and %d continue it: a step now reads another number "
                "of rows",
                before,
                self.count,
            )

    def each(self, mine: Any = None) -> list[Any]:
        """What every process gave, in the order of ranks; also waits for all.

        Tensors in it are to lie on the CPU. RunError on the main process when another one failed.
        """
        return self._exchange((mine, None))

    @contextmanager
    def one_after_another(self) -> Iterator[None]:
        """Within the context the main process works first, then the others, who find what it kept."""
        # accelerate's main_process_first waits at a barrier, past which no process could name its fault
        if not self.main:
            self.each()
        yield
        if self.main:
            self.each()
        self.each()

    def same(self, tensors: Iterable["Tensor"]) -> None:
        """Give every process the main one's values; shards are what they are."""
        if self.count > 1 and not self.sharded:
            from accelerate.utils import broadcast

            self.each()
            broadcast([tensor.detach() for tensor in tensors])

    def average_gradients(self, parameters: Sequence["nn.Parameter"]) -> None:
        """Replace every gradient by its mean over the processes; where one lacks it, it counts as 0 there.

        Those of shards are means already.
        """
        if self.count == 1 or self.sharded:
            return
        import torch

        present = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        try:
            for bucket in _buckets([*gradients, present]):
                self._average(bucket)
        except RuntimeError as error:
            raise self.lost(error) from error
        for parameter, gradient, share in zip(parameters, gradients, present.tolist(), strict=True):
            parameter.grad = gradient if share else None

    def _average(self, tensors: Sequence["Tensor"]) -> None:
        import torch
        import torch.distributed as dist

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def _exchange(self, mine: tuple[Any, str | None]) -> list[Any]:
        if self.count == 1:
            return [mine[0]]
        from accelerate.utils import gather_object

        try:
            found = gather_object([mine])
        except RuntimeError as error:
            raise self.lost(error) from error
        faults = [(rank, fault) for rank, (_, fault) in enumerate(found) if fault is not None]
        if faults:
            rank, fault = faults[0]
            kind = InterruptedRunError if fault.startswith(_INTERRUPTED) else RunError
            raise kind(f"{fault} (process {rank + 1} of {self.count})")
        return [given for given, _ in found]

    def lost(self, error: BaseException) -> "LostError":
        """The error that says so."""
        reason = " ".join(str(error).split())
        return LostError(
            f"the {self.count} processes lost each other ({reason}). See above what ended one of them, "
            f"mend it, and {self.way_out}"
        )

    def fail(self, error: BaseException) -> NoReturn:
        """End a process other than the main one: tell it why, and wait for the launcher."""
        end_at_once_on_sigterm()
        if isinstance(error, LostError):
            sys.exit(2)
        if not isinstance(error, SpfError | KeyboardInterrupt):
            traceback.print_exception(error)
        if self.sharded:  # the others would take a message for the values that they wait for
            print(f"error: {_told(error)} (process {self.rank + 1} of {self.count})", file=sys.stderr)
            sys.exit(2)
        try:
            self._exchange((None, _told(error)))
        except LostError:
            pass  # the main process has ended
        except RunError:
            time.sleep(_GRACE)
        sys.exit(2)

    def reports_error(self, error: BaseException) -> bool:
        """Whether this process says why all end: the main one of an interrupt, else the first to fail."""
        if isinstance(error, InterruptedRunError):
            return self.main
        # No public name gives the store that the processes share. A second connection to it would wait for
        # its host, which may be the process that failed.
        from torch.distributed.distributed_c10d import _get_default_store

        try:
            return bool(_get_default_store().add("spf_failed", 1) == 1)
        except RuntimeError:
            return False


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def init_distributed(device: str, way_out: str, *, sharded: bool = False) -> Iterator[ProcessGroup]:
    """The processes that the launcher started, connected within the context.

    `way_out` ends the message of those that lose each other; `sharded` ones are to share out the weights.
    """
    if world_size() == 1:
        yield SINGLE_PROCESS
        return
    from accelerate import PartialState
    from accelerate.utils import disable_fsdp_ram_efficient_loading

    from spf_core.utils.devices import pick_device

    state = PartialState(cpu=pick_device(device).type == "cpu", timeout=PATIENCE)
    disable_fsdp_ram_efficient_loading()  # transformers would leave the encoders of all but one empty
    group = ProcessGroup(state.process_index, state.num_processes, way_out, sharded)
    atexit.unregister(_leave)
    atexit.register(_leave)  # not before: the launcher connects its processes only once
    try:
        yield group
        group.each()
    except BaseException as error:
        atexit.unregister(_leave)  # it would wait for the others
        if group.sharded and not group.reports_error(error):
            end_at_once_on_sigterm()
            time.sleep(_MOMENT)
            sys.exit(2)
        if group.main and _disconnected(error):
            raise group.lost(error) from error
        if group.main:
            raise
        group.fail(error)


def _told(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    known = isinstance(error, SpfError)
    return " ".join((str(error) if known else f"{type(error).__name__}: {error}").split())


def _disconnected(error: BaseException) -> bool:
    """Whether it is what torch raises when a process is gone."""
    return isinstance(error, RuntimeError) and any(name in str(error) for name in ("gloo", "NCCL"))


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _buckets(tensors: Sequence["Tensor"]) -> Iterator[list["Tensor"]]:
    """The tensors in order, in groups of one type and of about BUCKET values."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(each.numel() for each in bucket) + tensor.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != tensor.dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
