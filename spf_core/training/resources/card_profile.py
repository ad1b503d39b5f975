"""Which settings fit a run onto a graphics card of a given size, by the estimate of its memory.

Settings that change the result least come first: how many rows pass at once; gradient checkpointing, which
costs time; a lighter optimizer; last a quantised base model. The search needs no GPU.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, SpfError, short
from spf_core.interfaces import Adapter, Backbone
from spf_core.plugins.building import attach, built
from spf_core.preparation.rows import rows_of, viewed_rows
from spf_core.runs.run import open_backbone
from spf_core.training.resources.drawn_texts import largest
from spf_core.training.resources.memory_estimate import MemoryEstimate, estimate_memory
from spf_core.training.resources.preparation_estimate import PreparationEstimate, estimate_preparation_memory
from spf_core.training.resources.run_estimate import WORKSPACE, peak_bytes, size_of
from spf_core.utils.fake_tensors import autocast_of_cuda

GIB = 2**30
HEADROOM = 0.1  # of the card: fragmentation, the driver and a display take some, which no estimate knows
QUANTIZE = "quantize"  # what options of backbones call it
Layer = dict[str, dict[str, Any]]
Resolve = Callable[[Layer], RunConfig]
T = TypeVar("T")


@dataclass(frozen=True)
class Profile:
    """Settings as a layer of configuration, and the estimated peak in bytes.

    `reasons` say why the run has each of them, as in `train.batch_size=2`.
    """

    layer: Layer
    reasons: Mapping[str, str]
    peak: int


@dataclass(frozen=True)
class Choice:
    """What is given up for memory. `optimizer`: None leaves the one that is asked for."""

    checkpointing: bool
    optimizer: str | None = None
    quantize: str = "none"
    batch_size: int = 1


def fit_to_card(resolve: Resolve, gib: int) -> Profile:
    """The settings for a card of `gib` GiB. `resolve` lays the user's settings over a layer.

    ConfigError when nothing fits, when a library is missing without which nothing fits, or when the memory
    cannot be estimated; and what the data and the model raise.
    """
    return fit(resolve, gib * GIB, f"{gib} GiB")


def fit(resolve: Resolve, card: int, name: str) -> Profile:
    """The same for a card of that many bytes, which messages call by its name."""
    return Search(resolve, int(card * (1 - HEADROOM)), name).found()


class Search:
    """The model on the CPU, and what was estimated of it so far."""

    def __init__(self, resolve: Resolve, budget: int, card: str) -> None:
        """Load the model; `budget` is in bytes."""
        self.resolve, self.budget, self.card = resolve, budget, card
        self.basis = _basis(resolve({}))
        self.config = config = resolve(self.basis)
        self.rows_at_once = config.train.batch_size * config.train.accumulation
        self.batch_is_free = self._batch_is_free()
        rows = rows_of(config.preparation)
        plain = {QUANTIZE: "none"} if _can_be_quantized(config) else {}
        self.backbone: Backbone = open_backbone(config.backbone.model_copy(update=plain), "cpu")
        rows = viewed_rows(self.backbone, rows, config.preparation)
        self.prompts = [row.prompt for row in rows]
        self.size = largest(rows, self.backbone.image_size)
        self.pictures = len({(row.image, row.view) for row in rows})
        self._steps: dict[tuple[int, bool, str], MemoryEstimate] = {}
        self._rows: dict[tuple[str, int], PreparationEstimate] = {}
        self.peaks: dict[Choice, int] = {}
        rows_of_model = self._before(config)  # while it has no adapter
        if max(rows_of_model.peaks.values()) + WORKSPACE > self.budget and config.sample.batch_size > 1:
            self.basis["sample"]["batch_size"] = 1
            self._before(resolve(self.basis))
        self.adapter: Adapter = built(config.adapter)
        attach(config.adapter, self.adapter, self.backbone)

    def found(self) -> Profile:
        """The first choice that fits; ConfigError when none does."""
        for choice in self.choices():
            if found := self.tried(choice):
                return found
        raise self.failure()

    def choices(self) -> Iterator[Choice]:
        """What to try, in the order in which it costs time and quality."""
        yield from (Choice(checkpointing) for checkpointing in (False, True))
        lighter = self.config.optimizer.lighter
        if lighter:
            yield Choice(True, lighter)
        for quantize in ("int8", "nf4") if _can_be_quantized(self.config) else ():
            yield from (Choice(True, optimizer, quantize) for optimizer in dict.fromkeys((None, lighter)))

    def tried(self, choice: Choice) -> Profile | None:
        """The profile with as many rows at once as fit; None where a single one does not, or must not be."""
        try:
            self.resolve(self._layer(choice))
        except ConfigError:  # settings that exclude each other: the user has chosen one of them
            return None
        for batch_size in self._batch_sizes(choice):
            larger = replace(choice, batch_size=batch_size)
            config = self.resolve(self._layer(larger))
            self.peaks[larger] = peak = self._peak(config)
            if peak <= self.budget:
                self._available(partial(built, config.optimizer))
                return Profile(self._layer(larger), self._reasons(larger, config), peak)
        return None

    def failure(self) -> ConfigError:
        """The error when nothing fits."""
        choice = min(self.peaks, key=lambda each: (self.peaks[each], each.batch_size))
        config, peak = self.resolve(self._layer(choice)), self.peaks[choice]
        before = max(self._before(config).peaks.values()) + WORKSPACE == peak
        told = [f"train.batch_size={config.train.batch_size}", f"optimizer.name={config.optimizer.name}"]
        told += ["gradient checkpointing"] if config.train.gradient_checkpointing else []
        told += [f"backbone.quantize={_quantize(config)}"] if _can_be_quantized(config) else []
        return ConfigError(
            f"--profile: nothing fits a card of {self.card}, of which {size_of(self.budget)} are left with "
            f"{HEADROOM:.0%} headroom: the smallest estimate is {size_of(peak)} "
            f"{'before the first step' if before else 'in a step'}, with {', '.join(told)}; choose a larger "
            "card or a smaller backbone, or lower what you set yourself"
        )

    def _batch_is_free(self) -> bool:
        """Whether the user set neither batch size nor accumulation: their own would win over others."""
        train = self.config.train
        other = {"batch_size": train.batch_size + 1, "accumulation": train.accumulation + 1}
        found = self.resolve({**self.basis, "train": {**self.basis["train"], **other}}).train
        return found.batch_size != train.batch_size and found.accumulation != train.accumulation

    def _batch_sizes(self, choice: Choice) -> list[int]:
        """Whole shares of the rows of a step that promise to fit, the most first; one row in any case."""
        if not self.batch_is_free:
            return [1]  # `_layer` leaves the user's
        one = self._step(self.resolve(self._layer(choice)))
        weights = sum(one.weights.values())
        most = (self.budget - weights) // max(1, one.peak - weights)
        shares = [size for size in range(self.rows_at_once, 1, -1) if self.rows_at_once % size == 0]
        return [*(size for size in shares if size <= most), 1]

    def _layer(self, choice: Choice) -> Layer:
        layer = {section: dict(values) for section, values in self.basis.items()}
        layer["train"]["gradient_checkpointing"] = choice.checkpointing
        if self.batch_is_free:
            layer["train"]["batch_size"] = choice.batch_size
            layer["train"]["accumulation"] = self.rows_at_once // choice.batch_size
        if choice.optimizer:
            layer["optimizer"] = {"name": choice.optimizer}
        if choice.quantize != "none":
            layer["backbone"][QUANTIZE] = choice.quantize
        return layer

    def _peak(self, config: RunConfig) -> int:
        """The most on the card, in a step or before the first, in bytes."""
        step, rows = self._step(config), self._before(config)
        in_a_step = peak_bytes(config, self.backbone, self.adapter, step) + rows.kept
        return max(in_a_step, *rows.peaks.values()) + WORKSPACE

    def _step(self, config: RunConfig) -> MemoryEstimate:
        quantize, train = _quantize(config), config.train
        key = train.batch_size, train.gradient_checkpointing, quantize
        if key not in self._steps:
            model = config, self.backbone, self.adapter, self.prompts, self.size
            self._steps[key] = self._estimated(lambda: estimate_memory(*model, quantize=quantize, parks=True))
        return self._steps[key]

    def _before(self, config: RunConfig) -> PreparationEstimate:
        key = quantize, _ = _quantize(config), config.sample.batch_size
        if key not in self._rows:
            rows = config, self.backbone, self.prompts, self.pictures, self.size
            self._rows[key] = self._estimated(lambda: estimate_preparation_memory(*rows, quantize=quantize))
        return self._rows[key]

    def _estimated(self, find: Callable[[], T]) -> T:
        try:
            with autocast_of_cuda():
                return self._available(find)
        except SpfError:
            raise
        except Exception as error:  # terms and models of any plugin run here, in a way that they may not bear
            reason = short(" ".join(str(error).split()))
            raise ConfigError(
                f"--profile: the memory of this run cannot be estimated ({type(error).__name__}: {reason}); "
                "leave it out, and set train.batch_size and train.gradient_checkpointing yourself"
            ) from error

    def _available(self, find: Callable[[], T]) -> T:
        try:
            return find()
        except ConfigError as error:  # of a library that is not installed
            raise ConfigError(f"--profile: nothing else fits a card of {self.card}, and {error}") from error

    def _reasons(self, choice: Choice, config: RunConfig) -> dict[str, str]:
        """Why the run has each setting of the layer that the user did not set otherwise."""
        values, whys = config.model_dump(mode="json"), self._whys(choice)
        return {
            f"{section}.{option}={_plain(value)}": whys[f"{section}.{option}"]
            for section, options in self._layer(choice).items()
            for option, value in options.items()
            if option != "name" or section != "backbone"
            if values[section][option] == value
        }

    def _whys(self, choice: Choice) -> dict[str, str]:
        without = self.peaks.get(
            replace(choice, checkpointing=False, optimizer=None, quantize="none", batch_size=1)
        )
        dearer = f"; without it the least is {size_of(without)}" if without else ""
        checkpointing = f"a step computes activations twice{dearer}"
        return {
            "backbone.dtype": "the frozen weights take half of float32",
            "backbone.quantize": "nothing milder fits; the base model changes a little",
            "train.precision": "activations take half of float32",
            "sample.precision": "the same while images are sampled",
            "sample.batch_size": "more images at once do not fit before the first step",
            "train.batch_size": f"as many of a step's {self.rows_at_once} rows as fit at once",
            "train.accumulation": f"a step still reads {self.rows_at_once} rows",
            "train.gradient_checkpointing": checkpointing
            if choice.checkpointing
            else "it fits without, and is faster",
            "optimizer.name": "it keeps less of each weight; nothing milder fits",
        }


def _basis(config: RunConfig) -> Layer:
    """What every card gets: half precision costs next to nothing."""
    backbone = {"name": config.backbone.name}  # without it, options would be taken for another backbone's
    if "dtype" in type(config.backbone).model_fields:
        backbone["dtype"] = "bfloat16"
    return {"backbone": backbone, "train": {"precision": "bf16"}, "sample": {"precision": "bf16"}}


def _can_be_quantized(config: RunConfig) -> bool:
    has_option = QUANTIZE in type(config.backbone).model_fields
    return has_option and not config.adapter.needs_plain_weights


def _quantize(config: RunConfig) -> str:
    found: str = getattr(config.backbone, QUANTIZE, "none")
    return found


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
