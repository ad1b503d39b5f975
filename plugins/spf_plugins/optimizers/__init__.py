"""Optimizers: AdamW of torch, and what other libraries bring. Torch-free until one is built."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from spf_core.plugins import Betas, OptimizerConfig, Register, hookimpl
from spf_core.utils.optional_imports import optional

if TYPE_CHECKING:
    from spf_core.interfaces import MakesOptimizer

BETAS = (0.9, 0.999)
FLOAT = 4  # bytes
SMALLEST_8_BIT = 4096  # values; bitsandbytes keeps 32-bit moments of smaller tensors
LEAST_FACTOR = 0.01  # below it, a step size was meant, not Prodigy's factor


class AdamW(OptimizerConfig):
    """AdamW of torch, fused."""

    name = "adamw"
    default = True
    runs_shards = True
    lighter = "adamw8bit"
    betas: Betas = Field(BETAS, description="Decay rates of the moments.")

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer."""
        from functools import partial

        from torch.optim import AdamW as Made

        return partial(
            Made, lr=self.learning_rate, weight_decay=self.weight_decay, betas=self.betas, fused=True
        )


class AdamW8bit(OptimizerConfig):
    """AdamW of bitsandbytes, with moments of 8 bits."""

    name = "adamw8bit"
    betas: Betas = Field(BETAS, description="Decay rates of the moments.")

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer; ConfigError where bitsandbytes is not installed."""
        from functools import partial

        library = optional("bitsandbytes", "bitsandbytes", f"optimizer.name={self.name}")
        return partial(
            library.optim.AdamW8bit, lr=self.learning_rate, weight_decay=self.weight_decay, betas=self.betas
        )

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """Two moments for each value, of one byte in large tensors."""
        values = math.prod(shape)
        return 2 * values * (1 if values >= SMALLEST_8_BIT else FLOAT)


class Adafactor(OptimizerConfig):
    """Adafactor of transformers, with its own step sizes off."""

    name = "adafactor"

    @model_validator(mode="before")
    @classmethod
    def _without_betas(cls, given: Any) -> Any:
        """Leave out the betas that earlier versions saved of every optimizer; refuse others."""
        if not isinstance(given, Mapping) or "betas" not in given:
            return given
        if given["betas"] not in (BETAS, list(BETAS)):
            raise ValueError(f"adafactor does not read betas={given['betas']}; leave them out")
        return {option: value for option, value in given.items() if option != "betas"}

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer."""
        from functools import partial

        from transformers.optimization import Adafactor as Made

        # Its own step sizes stay off: the schedule gives them, as for the others.
        own = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return partial(Made, lr=self.learning_rate, weight_decay=self.weight_decay, **own)

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """A mean for each row and each column of a matrix, and one square for each value of a vector."""
        values = math.prod(shape)
        if len(shape) < 2:
            return FLOAT * values
        return FLOAT * (values // shape[-1] + values // shape[-2])


class Prodigy(OptimizerConfig):
    """Prodigy, which estimates its step size; learning_rate is a factor of it, usually 1."""

    name = "prodigy"
    learning_rate: float = Field(1.0, gt=0, description="Factor of the step size that Prodigy estimates.")
    betas: Betas = Field(BETAS, description="Decay rates of the moments.")

    @model_validator(mode="after")
    def _one_factor(self) -> "Prodigy":
        if self.learning_rate < LEAST_FACTOR:
            raise ValueError(
                f"learning_rate={self.learning_rate:g} is a factor of the step size that prodigy estimates "
                "by itself; set it to 1"
            )
        if self.text_encoder_learning_rate is not None:
            raise ValueError(
                "prodigy estimates one step size for all weights; leave text_encoder_learning_rate out"
            )
        return self

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer; ConfigError where prodigyopt is not installed."""
        from functools import partial

        library = optional("prodigyopt", "prodigyopt", f"optimizer.name={self.name}")
        # What its authors advise for diffusion models.
        advised = {"use_bias_correction": True, "safeguard_warmup": True}
        return partial(
            library.Prodigy,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
            **advised,
        )

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """Two moments, the first weights, and a sum of gradients."""
        return 4 * FLOAT * math.prod(shape)

    def step_size(self, group: Mapping[str, Any]) -> float:
        """The schedule's factor times the step size that it has found."""
        return float(group["lr"] * group["d"])


class Lion(OptimizerConfig):
    """Lion of lion-pytorch, which steps by the sign of its moment."""

    name = "lion"
    betas: Betas = Field(BETAS, description="Decay rates of the moment.")

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer; ConfigError where lion-pytorch is not installed."""
        from functools import partial

        library = optional("lion_pytorch", "lion-pytorch", f"optimizer.name={self.name}")
        return partial(library.Lion, lr=self.learning_rate, weight_decay=self.weight_decay, betas=self.betas)

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """One moment for each value."""
        return FLOAT * math.prod(shape)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (AdamW, AdamW8bit, Adafactor, Prodigy, Lion):
        register(config)
