"""What a run goes on from after it was stopped: its state on disk, and back."""

import logging
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from spf_core.dual_path.parts import Parts
from spf_core.errors import RunError
from spf_core.interfaces import AllocatesRank, Backbone, Stateful
from spf_core.plugins.answers import named
from spf_core.plugins.configs import OptimizerConfig
from spf_core.runs.checkpoint import (
    ADAPTER_FILE,
    Checkpoint,
    checkpoint_folder,
    checkpoints,
    prune_checkpoints,
    read_checkpoint,
    read_header,
    save_checkpoint,
)
from spf_core.runs.intact import Expected, form_of, newest_intact
from spf_core.runs.run import refuse_other_backbone
from spf_core.training.ema import EMA
from spf_core.training.optimizers import restore_schedule, state_of
from spf_core.training.sharding import gathered, scattered
from spf_core.utils.distributed import ProcessGroup

DAMAGED = "damaged-"  # a checkpoint that was passed over is kept under this name, where none looks for it
_log = logging.getLogger("spf")


@dataclass(frozen=True)
class TrainState:
    """Everything that changes from step to step; `scaler` is fp16's, None otherwise."""

    parts: Parts
    average: EMA | None
    options: OptimizerConfig
    optimizer: Any
    scheduler: Any
    scaler: Any

    def save(
        self, run: Path, step: int, metadata: Mapping[str, str], keep: int, *, write: bool = True
    ) -> None:
        """Write a checkpoint of `step`, unless there is one, and drop all but the newest `keep`.

        Where processes hold shards all of them call this, and one of them is to `write`.
        """
        folder = checkpoint_folder(run, step)
        adapter = self.parts.adapter.state_dict()
        optimizer = gathered(state_of(self.options, self.optimizer))
        if not write or folder.exists():
            return
        state = Checkpoint(
            step=step,
            adapter=adapter,
            metadata=metadata,
            optimizer=optimizer,
            scheduler=self.scheduler.state_dict(),
            scaler=None if self.scaler is None else self.scaler.state_dict(),
            parts=states_of(self._stateful),
            length=self.parts.train.steps,
        )
        save_checkpoint(folder, state)
        prune_checkpoints(run, keep)

    def load(self, run: Path, group: ProcessGroup) -> Checkpoint | None:
        """Restore the newest intact checkpoint and return it; None where there is none.

        All processes call it. Damaged checkpoints are passed over with a warning, and renamed. RunError when
        none is intact, or when it is of another backbone.
        """
        expected = self._expected()
        intact = newest_intact(run, expected, self._refuse_other_backbone) if group.main else None
        folder: Path | None = group.each(intact and intact.folder)[0]
        if folder is None:
            return None
        if intact:
            _set_aside(intact.damaged, intact.checkpoint.step)
        found = intact.checkpoint if intact else _same_folder(folder)
        self._restore(found)
        return found

    @property
    def _stateful(self) -> dict[str, Stateful]:
        return stateful_parts(self.parts, self.average)

    def _expected(self) -> Expected:
        """What a checkpoint of this run must hold."""
        groups = self.optimizer.state_dict()["param_groups"]
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        return Expected(
            adapter={name: form_of(each) for name, each in self.parts.adapter.state_dict().items()},
            groups=groups,
            shapes=[tuple(each.shape) for each in parameters],
            own_optimizer=not self.options.provided_by,
            rates=self.scheduler.base_lrs,
            scaler=None if self.scaler is None else frozenset(self.scaler.state_dict()),
            parts={name: form_of(each) for name, each in states_of(self._stateful).items()},
            owners=frozenset(self._stateful),
        )

    def _refuse_other_backbone(self, folder: Path, found: Checkpoint) -> None:
        refuse_other_backbone(folder / ADAPTER_FILE, dict(found.metadata), self.parts.backbone)

    def _restore(self, found: Checkpoint) -> None:
        self.parts.adapter.load_state_dict(found.adapter)
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        with named(self.options, "cannot go on from the checkpoint"):
            self.optimizer.load_state_dict(scattered(found.optimizer, parameters))
        restore_schedule(self.scheduler, found.step)
        if self.scaler is not None:
            self.scaler.load_state_dict(found.scaler)
        load_states(self._stateful, found.parts)


def refuse_other_base(run: Path, backbone: Backbone) -> None:
    """RunError when the newest checkpoint that says its base model has another; no tensor is read.

    `TrainState.load` checks it again, with everything else that a checkpoint must hold.
    """
    for folder in reversed(checkpoints(run)):
        file = folder / ADAPTER_FILE
        with suppress(RunError):  # damaged: it is passed over when the run is loaded, too
            _, metadata = read_header(file, "restore it")
            if "spf_backbone" in metadata:
                break
    else:
        return
    refuse_other_backbone(file, metadata, backbone)


def _set_aside(damaged: Mapping[Path, str], step: int) -> None:
    """Rename damaged checkpoints, so that new ones of their steps can be written, and warn of them."""
    if not damaged:
        return
    for folder in damaged:
        folder.replace(_free(folder.with_name(f"{DAMAGED}{folder.name}")))
    listed = "; ".join(f"'{folder}': {why}" for folder, why in list(damaged.items())[:3])
    more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
    _log.warning(
        "%d damaged checkpoint(s) skipped, the run resumes from step %d (%s%s); kept under the name "
        "'%s...', delete what you do not need",
        *(len(damaged), step, listed, more, DAMAGED),
    )


def _free(path: Path) -> Path:
    """The path, or the first number of it that does not exist."""
    number = 2
    free = path
    while free.exists():
        free, number = path.with_name(f"{path.name}-{number}"), number + 1
    return free


def _same_folder(folder: Path) -> Checkpoint:
    """The checkpoint that the main process chose; RunError when this process does not see it."""
    if not folder.is_dir():
        raise RunError(
            f"the main process resumes from '{folder}', which another process does not see;  "
            "put the run where all machines see the same files"
        )
    return read_checkpoint(folder)


def stateful_parts(parts: Parts, average: EMA | None = None) -> dict[str, Stateful]:
    """The parts with a state of their own, by the prefix that their tensors have in a checkpoint."""
    named: dict[str, object] = {**_written_in_a_pass(parts), "average": average}
    if isinstance(parts.adapter, AllocatesRank):
        named["budget"] = parts.adapter.budget
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}


def _written_in_a_pass(parts: Parts) -> dict[str, Stateful]:
    """The control map and the terms: what forward passes write to."""
    terms = {f"term.{name}": term for name, (_, term) in parts.terms.items()}
    named: dict[str, object] = {"map": parts.control_map, **terms}
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}


def states_of(stateful: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """The tensors of all parts, each under its part's prefix."""
    return {
        f"{prefix}/{name}": tensor
        for prefix, part in stateful.items()
        for name, tensor in part.state_dict().items()
    }


def load_states(stateful: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> None:
    """Give every part its share of `states_of(stateful)` back."""
    for prefix, part in stateful.items():
        start = f"{prefix}/"
        part.load_state_dict({n.removeprefix(start): v for n, v in state.items() if n.startswith(start)})


@contextmanager
def shared_memory(parts: Parts, group: ProcessGroup) -> Iterator[None]:
    """What the parts take in within the context, they take in from every process, in the order of ranks."""
    if group.count == 1:
        yield
        return
    stateful = _written_in_a_pass(parts)
    before = states_of(stateful)
    yield
    new = {
        name: tensor.cpu() for name, tensor in states_of(stateful).items() if before.get(name) is not tensor
    }
    found = group.each(new)
    if any(found):
        load_states(stateful, dict(ChainMap(*reversed(found), before)))
