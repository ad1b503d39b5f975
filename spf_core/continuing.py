"""What a run goes on from after it was stopped: its state on disk, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spf_core.checkpoint import (
    ADAPTER_FILE,
    checkpoints,
    load_checkpoint,
    load_parts,
    prune_checkpoints,
    save_checkpoint,
)
from spf_core.parts import Parts, remember, remembered
from spf_core.runs import refuse_other_backbone
from spf_core.sharding import gathered, scattered


@dataclass(frozen=True)
class Continuation:
    """Everything that changes from step to step; `scaler` is fp16's, None otherwise."""

    parts: Parts
    optimizer: Any
    scheduler: Any
    scaler: Any

    def save(
        self, run: Path, step: int, metadata: Mapping[str, str], keep: int, *, write: bool = True
    ) -> None:
        """Write a checkpoint of `step`, unless there is one, and drop all but the newest `keep`.

        Where processes hold shards all of them call this, and one of them is to `write`.
        """
        folder = run / "checkpoints" / f"step-{step:06d}"
        adapter, optimizer = self.parts.adapter.state_dict(), gathered(self.optimizer.state_dict())
        if not write or folder.exists():
            return
        state = {
            "step": step,
            "scheduler": self.scheduler.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }
        save_checkpoint(
            folder,
            adapter,
            metadata,
            optimizer,
            state,
            remembered(self.parts),
        )
        prune_checkpoints(run, keep)

    def load(self, run: Path) -> tuple[int, dict[str, str]]:
        """Restore the newest checkpoint; returns its step and metadata, 0 and nothing where there is none."""
        found = checkpoints(run)
        if not found:
            return 0, {}
        adapter, optimizer, state = load_checkpoint(found[-1])
        refuse_other_backbone(found[-1] / ADAPTER_FILE, state["metadata"], self.parts.backbone)
        self.parts.adapter.load_state_dict(adapter)
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        self.optimizer.load_state_dict(scattered(optimizer, parameters))
        self.scheduler.load_state_dict(state["scheduler"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        remember(self.parts, load_parts(found[-1]))
        return state["step"], state["metadata"]
