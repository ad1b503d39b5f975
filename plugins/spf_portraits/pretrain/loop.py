"""One resumable training loop for every network of the recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from spf_core.runs.checkpoint import read_safetensors
from spf_portraits.pretrain.recipe import Options, Stage

LossFunction = Callable[[int, torch.Generator], dict[str, Tensor]]
LOG_EVERY = 25


def cosine_rate(step: int, stage: Stage) -> float:
    """Learning rate at `step`: linear over `warmup`, then half a cosine to zero at `steps`."""
    if step < stage.warmup:
        return stage.rate * (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.rate * 0.5 * (1 + math.cos(math.pi * progress))


def step_generator(seed: int, step: int) -> torch.Generator:
    """A step's own generator: the step number is the whole random state, so resuming needs nothing else."""
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    contiguous = {key: value.detach().contiguous() for key, value in tensors.items()}
    save_file(contiguous, temporary, dict(metadata))
    temporary.replace(path)


class Ema:
    """Exponential moving average of a network's parameters, warmed up so that early steps are forgotten."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in network.named_parameters()]
        self.values = [parameter.detach().clone() for parameter in network.parameters()]

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's parameters."""
        decay = min(self.decay, (1 + step) / (10 + step))
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(self.values, [p.detach() for p in network.parameters()], step)

    def state(self) -> dict[str, Tensor]:
        """Averaged parameters by name."""
        return dict(zip(self.names, self.values, strict=True))


class Trainer:
    """Trains `network` for `stage.steps` steps and keeps a checkpoint that `--resume` continues from."""

    def __init__(self, network: nn.Module, stage: Stage, options: Options, ema: Ema | None = None) -> None:
        self.network, self.stage, self.options, self.ema = network, stage, options, ema
        self.path = checkpoint_path(options.cache, stage.name)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=stage.rate, weight_decay=stage.decay, fused=True
        )
        self.before = 0
        self.start = self._resume() if options.resume and self.path.exists() else 0

    def run(self, loss_of: LossFunction, after_step: Callable[[int], None] | None = None) -> dict[str, float]:
        """Minimise the sum of the losses that `loss_of(step, generator)` returns; returns running means."""
        means: dict[str, float] = {}
        if self.start >= self.stage.steps:
            self.network.eval()
            return means
        started = saved = time.monotonic()
        self.network.train()
        for step in range(self.start, self.stage.steps):
            losses = self._step(step, loss_of)
            track(means, losses)
            if (step + 1) % LOG_EVERY == 0:
                self._log(step + 1, means, time.monotonic() - started)
            if time.monotonic() - saved > self.options.save_every:
                self.save(step + 1, means)
                saved = time.monotonic()
            if after_step is not None:
                after_step(step + 1)
        self.save(self.stage.steps, means)
        self.network.eval()
        return means

    def _step(self, step: int, loss_of: LossFunction) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_rate(step, self.stage)
        losses = loss_of(step, step_generator(self.stage.seed, step))
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{self.stage.name}: loss {float(total)} at step {step}")
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(self.network, step)
        return losses

    def _log(self, step: int, means: dict[str, float], seconds: float) -> None:
        terms = " ".join(f"{name} {value:.4f}" for name, value in means.items())
        pace = seconds / max(1, step - self.start)
        print(f"{self.stage.name} {step}/{self.stage.steps} {terms} ({pace:.2f} s/step)", flush=True)

    def save(self, step: int, means: Mapping[str, float]) -> None:
        """Write weights, averages and optimizer state in one safetensors file."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{key}": value for key, value in self.ema.state().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
        steps = {"step": str(step), "before": str(self.before)}
        save_tensors(tensors, self.path, steps | {k: f"{v:.5f}" for k, v in means.items()})

    def _resume(self) -> int:
        tensors, metadata = read_safetensors(self.path)
        self.network.load_state_dict(with_prefix(tensors, "network."))
        if self.ema is not None:
            averaged = with_prefix(tensors, "ema.")
            self.ema.values = [averaged[name].clone() for name in self.ema.names]
        state = with_prefix(tensors, "optimizer.")
        for index, parameter in enumerate(self.network.parameters()):
            values = with_prefix(state, f"{index}.")
            self.optimizer.state[parameter] = {
                key: value.clone() if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                for key, value in values.items()
            }
        self.before = int(metadata.get("before", 0))
        return int(metadata["step"])


def checkpoint_path(cache: Path, stage: str) -> Path:
    """Where a stage keeps its checkpoint."""
    return cache / "checkpoints" / f"{stage}.safetensors"


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def track(means: dict[str, float], losses: Mapping[str, Tensor], momentum: float = 0.96) -> None:
    """Update running means in place."""
    for name, value in losses.items():
        current = float(value.detach())
        means[name] = momentum * means.get(name, current) + (1 - momentum) * current


def load_trained(network: nn.Module, cache: Path, stage: str, kind: str = "network") -> dict[str, str]:
    """Load a finished stage's weights (`kind` is `network` or `ema`) and return the checkpoint's metadata."""
    tensors, metadata = read_safetensors(checkpoint_path(cache, stage))
    network.load_state_dict(with_prefix(tensors, f"{kind}."))
    network.eval().requires_grad_(False)
    return metadata


def batches(count: int, size: int) -> Iterable[slice]:
    """Slices that cover `range(count)` in order."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
