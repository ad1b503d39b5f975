"""What a run will need, told before it starts: sizes that counting gives, without a step computed.

An estimate of peak memory or of time belongs here: as further lines of `foreseen`.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from spf_core.config import RunConfig
from spf_core.interfaces import Adapter, Backbone

FLOAT = 4  # bytes; trained weights and what optimizers keep of them are float32
SMALLEST_8_BIT = 4096  # values; bitsandbytes keeps 32-bit moments of smaller tensors


def foreseen(config: RunConfig, backbone: Backbone, adapter: Adapter) -> list[tuple[str, str]]:
    """Names and values, to be shown as a table."""
    parameters = list(adapter.parameters())
    own = {id(parameter) for parameter in parameters}
    frozen = [p for p in backbone.denoiser.parameters() if id(p) not in own]
    trained = sum(p.numel() for p in parameters) * FLOAT
    kept = trained + optimizer_bytes(config.optimizer.name, parameters)
    kept += trained if config.train.ema_decay is not None else 0
    return [
        ("trainable parameters", f"{trained // FLOAT:,} ({size(trained)})"),
        ("frozen in the denoiser", f"{count(frozen):,} ({size(sum(map(_bytes, frozen)))})"),
        ("optimizer", f"{config.optimizer.name}, {size(kept - trained)} beside the weights"),
        ("checkpoints on disk", f"{config.checkpoint.keep} x {size(kept)}"),
    ]


def optimizer_bytes(name: str, parameters: Sequence[Tensor]) -> int:
    """What the optimizer keeps of the parameters, without a few numbers for each tensor."""
    return sum(_STATE[name](parameter) for parameter in parameters)


def count(parameters: Sequence[Tensor]) -> int:
    """How many values they hold."""
    return sum(parameter.numel() for parameter in parameters)


def size(number: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"


def _bytes(parameter: Tensor) -> int:
    return parameter.numel() * parameter.element_size()


def _adamw8bit(parameter: Tensor) -> int:
    return 2 * parameter.numel() * (1 if parameter.numel() >= SMALLEST_8_BIT else FLOAT)


def _adafactor(parameter: Tensor) -> int:
    """A mean for each row and each column of a matrix, and one square for each value of a vector."""
    shape = parameter.shape
    if len(shape) < 2:
        return FLOAT * parameter.numel()
    return FLOAT * (parameter.numel() // shape[-1] + parameter.numel() // shape[-2])


_STATE: dict[str, Callable[[Tensor], int]] = {
    "adamw": lambda parameter: 2 * FLOAT * parameter.numel(),
    "adamw8bit": _adamw8bit,
    "adafactor": _adafactor,
    "prodigy": lambda parameter: 4 * FLOAT * parameter.numel(),
    "lion": lambda parameter: FLOAT * parameter.numel(),
}
