"""Estimates what a run needs before it starts: sizes that follow from counting, without a training step."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.texts import text_parameters
from spf_core.interfaces import Adapter, Backbone
from spf_core.plugins.answers import named
from spf_core.plugins.configs import OptimizerConfig
from spf_core.training.resources.memory_estimate import MemoryEstimate, estimate_memory
from spf_core.training.resources.preparation_estimate import PreparationEstimate, estimate_preparation_memory
from spf_core.utils.prompts import Prompt

FLOAT = 4  # bytes; trained weights and what optimizers keep of them are float32
WORKSPACE = 2 * 2**25  # bytes; cuBLAS' at most, for the forward and for the backward thread
NO_ROWS = PreparationEstimate({}, 0)
T = TypeVar("T")


def size_rows(config: RunConfig, backbone: Backbone, adapter: Adapter) -> list[tuple[str, str]]:
    """Names and values, to be shown as a table."""
    parameters = list(adapter.parameters())
    own = {id(parameter) for parameter in parameters}
    frozen = [p for p in backbone.denoiser.parameters() if id(p) not in own]
    trained = sum(p.numel() for p in parameters) * FLOAT
    kept = trained + optimizer_bytes(config.optimizer, parameters)
    kept += trained if config.train.ema_decay is not None else 0
    texts = count(text_parameters(adapter))
    of_them = f", {texts:,} of them in text encoders" if texts else ""
    return [
        ("trainable parameters", f"{trained // FLOAT:,} ({size_of(trained)}){of_them}"),
        ("frozen in the denoiser", f"{count(frozen):,} ({size_of(sum(map(_bytes, frozen)))})"),
        ("optimizer", f"{config.optimizer.name}, {size_of(kept - trained)} beside the weights"),
        ("checkpoints on disk", f"{config.checkpoint.keep} x {size_of(kept)}"),
    ]


def memory_rows(
    config: RunConfig,
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
    rows: PreparationEstimate | str = NO_ROWS,
) -> list[tuple[str, str]]:
    """What a step of these texts and of pictures of this width and height takes on the device.

    `rows` is what `preparation_estimate` says of their preparation.
    """
    found = unless_unknown(
        "the memory of a step cannot be estimated",
        lambda: estimate_memory(config, backbone, adapter, prompts, size),
    )
    if isinstance(found, str):
        return [("peak memory", found)]
    least = sum(found.weights.values()) / 1000
    weights = [
        f"{name} {size_of(number)} {str(dtype).removeprefix('torch.')}"
        for (name, dtype), number in found.weights.items()
        if number > least
    ]
    lines = [
        ("weights on the device", ", ".join(weights)),
        ("kept for the backward pass", size_of(found.kept)),
    ]
    peak, (width, height) = peak_bytes(config, backbone, adapter, found), size
    where = f"in a step of {config.train.batch_size} at {width}x{height} with every term on"
    if isinstance(rows, str):
        return [*lines, ("peak memory, estimated", f"{size_of(peak)} {where}; before it, {rows}")]
    lines.append(("kept of the rows", size_of(rows.kept)))
    peaks = {where: peak + rows.kept} | {
        f"before the first step ({stage})": taken + workspace_of(backbone)
        for stage, taken in rows.peaks.items()
    }
    *others, first = sorted(peaks, key=peaks.__getitem__)
    if where in others:
        lines.append(("memory of a step", f"{size_of(peaks[where])} {where}"))
    return [*lines, ("peak memory, estimated", f"{size_of(peaks[first])} {first}")]


def preparation_estimate(
    config: RunConfig,
    backbone: Backbone,
    prompts: Sequence[Prompt],
    pictures: int,
    size: tuple[int, int],
) -> PreparationEstimate | str:
    """What preparing the rows takes, of a backbone without adapter; or that it is not known, and why."""
    return unless_unknown(
        "the memory of preparation cannot be estimated",
        lambda: estimate_preparation_memory(config, backbone, prompts, pictures, size),
    )


def unless_unknown(otherwise: str, find: Callable[[], T]) -> T | str:
    """What is found, or in one line why it is not."""
    try:
        return find()
    except Exception as error:  # terms and models of any plugin run here, in a way that they may not bear
        reason = " ".join(str(error).split())[:80]
        return f"not known: {otherwise} ({type(error).__name__}: {reason})"


def peak_bytes(config: RunConfig, backbone: Backbone, adapter: Adapter, found: MemoryEstimate) -> int:
    """The most on the device within the step, with what the optimizer and CUDA's libraries keep."""
    parameters = list(adapter.parameters())
    trained = count(parameters) * FLOAT
    beside = optimizer_bytes(config.optimizer, parameters)
    beside += trained if config.train.ema_decay is not None else 0
    return beside + workspace_of(backbone) + found.peak


def workspace_of(backbone: Backbone) -> int:
    """What CUDA's libraries keep, in bytes."""
    return WORKSPACE if backbone.device.type == "cuda" else 0


def optimizer_bytes(options: OptimizerConfig, parameters: Sequence[Tensor]) -> int:
    """What the optimizer keeps of the parameters, without a few numbers for each tensor."""
    with named(options, "cannot say what it keeps"):
        return sum(options.state_bytes(tuple(parameter.shape)) for parameter in parameters)


def count(parameters: Sequence[Tensor]) -> int:
    """How many values they hold."""
    return sum(parameter.numel() for parameter in parameters)


def size_of(number: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} GiB"


def _bytes(parameter: Tensor) -> int:
    return parameter.numel() * parameter.element_size()
