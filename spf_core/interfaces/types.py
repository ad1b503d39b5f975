"""What flows through a training step.

Shape legend: B batch, C latent channels, H W latent height and width, L text tokens, D channels,
P base phrases (padded), Q = HW positions of one cross-attention layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import torch
from torch import Tensor

from spf_core.errors import quoted
from spf_core.utils.prompts import Prompt


@dataclass(frozen=True)
class Capture:
    """What a forward pass should record besides its prediction."""

    attention: bool = False
    queries: bool = False


NOTHING = Capture()


@dataclass(frozen=True)
class Conditioning:
    """Encoded texts with the token positions of their phrases.

    `phrase_BPL[b, p]` averages over the tokens of base phrase p (rows sum to 1; all-zero rows are padding);
    `target_BL` does so for the target phrase (all zero under the base text), `pad_BL` marks EOT and PAD.
    `phrase_embeds_BPD` and `target_embed_BD` are unit-norm sentence embeddings E_T of the phrases alone.
    `pooled_BD` and `sizes_B6` are what SDXL reads besides: the whole text's embedding, and height and width
    of the original, top and left of the crop, height and width of the target. Others have width 0 there.
    """

    embeds_BLD: Tensor
    pooled_BD: Tensor
    sizes_B6: Tensor
    phrase_BPL: Tensor
    target_BL: Tensor
    pad_BL: Tensor
    phrase_embeds_BPD: Tensor
    target_embed_BD: Tensor


@dataclass(frozen=True)
class PathOutput:
    """One path's prediction, and by layer the mean probabilities, outputs and inputs of `to_q` captured."""

    pred_BCHW: Tensor
    attention: dict[str, Tensor] = field(default_factory=dict)
    """Mean probabilities over heads by layer, B Q L."""
    queries: dict[str, Tensor] = field(default_factory=dict)
    """Outputs of `to_q` by layer, B Q D."""
    hidden: dict[str, Tensor] = field(default_factory=dict)
    """What the queries are projected from, by layer, B Q D."""

    def named(self) -> dict[str, Tensor]:
        """Every tensor by name: `pred_BCHW`, and what was captured as `attention/LAYER` and so on."""
        found: dict[str, Tensor] = {"pred_BCHW": self.pred_BCHW}
        for what in fields(self)[1:]:
            found |= {f"{what.name}/{layer}": tensor for layer, tensor in getattr(self, what.name).items()}
        return found

    @classmethod
    def from_named(cls, named: Mapping[str, Tensor]) -> "PathOutput":
        """The output whose `named()` that is."""
        captured: dict[str, dict[str, Tensor]] = {}
        for name, tensor in named.items():
            what, _, layer = name.partition("/")
            if layer:
                captured.setdefault(what, {})[layer] = tensor
        return cls(named["pred_BCHW"], **captured)

    def each(self, change: Callable[[Tensor], Tensor]) -> "PathOutput":
        """The output with `change` applied to every tensor."""
        return self.from_named({name: change(tensor) for name, tensor in self.named().items()})

    def detached(self) -> "PathOutput":
        """The output without its gradient."""
        return self.each(Tensor.detach)

    @classmethod
    def where(cls, first_B: Tensor, first: "PathOutput", second: "PathOutput") -> "PathOutput":
        """Row by row `first` where the mask is true, else `second`; of the layers captured in both."""
        one, two = first.named(), second.named()
        return cls.from_named(
            {
                name: torch.where(first_B.view(-1, *[1] * (one[name].ndim - 1)), one[name], two[name])
                for name in two
                if name in one
            }
        )


@dataclass(frozen=True)
class Batch:
    """Training rows after caching: latents, conditionings, and what some terms need besides."""

    ids: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    latents_BCHW: Tensor
    """The training images, purified where there are counterfactuals."""
    rows: Tensor
    """Their numbers in the training folder, B."""
    complete: Conditioning
    base: Conditioning
    empty: Conditioning
    """The empty text, batch of one."""
    image_embeds_BD: Tensor | None = None
    """E_I(x_0), unit norm, only when a term needs `clean_image`."""
    without_BCHW: Tensor | None = None
    """Counterfactuals: the original model's picture without the target."""
    region_B1HW: Tensor | None = None
    """Where the target belongs, in [0, 1]."""
    target: Conditioning | None = None
    """The target text alone, only when a term needs `target_text`."""
    mask_B1HW: Tensor | None = None
    """The masks of the data, in [0, 1], only when a term needs `masks`."""
    released_BL: Tensor | None = None
    """Marks the tokens of phrases that are free to change; option `train.release`."""
    class_BCHW: Tensor | None = None
    """The original's own picture of the base text, only when a term needs `class_images`."""

    @property
    def empty_rows(self) -> Conditioning:
        """The empty text for every row, with the row's own sizes."""
        everyone = torch.zeros(len(self.ids), dtype=torch.long, device=self.rows.device)
        return replace(index(self.empty, everyone), sizes_B6=self.base.sizes_B6)


@dataclass(frozen=True)
class Noised:
    """The shared noise draw: z_t of the training images by the backbone's noise process.

    `expected_BCHW` is what a model must predict there to be led to z_0 (DDPM: eps; flow matching: eps - z_0),
    also where z_t was made from a picture that still lacks some of the target. Timesteps are in the model's
    own units. Where `from_data_B` is false, z_t is a state of the original model's own sampling and
    `expected_BCHW` is 0: such rows can be aligned but teach nothing about the images.
    """

    z_t_BCHW: Tensor
    expected_BCHW: Tensor
    timesteps_B: Tensor
    from_data_B: Tensor
    reference: PathOutput | None = None
    """With a bank: the reference path's output on the model's own states."""


@dataclass(frozen=True)
class LossReport:
    """Every active term, raw and weighted, and the objective they sum to."""

    raw: dict[str, Tensor]
    weighted: dict[str, Tensor]
    total: Tensor
    map_mean: Tensor | None


def scatter_like(values_B: Tensor, like_BCHW: Tensor) -> Tensor:
    """Reshape per-sample values so that they broadcast over `like_BCHW`."""
    return values_B.view(-1, *[1] * (like_BCHW.ndim - 1)).float()


def index(cond: Conditioning, rows: Tensor) -> Conditioning:
    """The conditioning of some rows; `rows` is a LongTensor of indices."""
    return Conditioning(**{name: value[rows] for name, value in vars(cond).items()})


def choose(mask_B: Tensor, yes: Conditioning, no: Conditioning) -> Conditioning:
    """Row by row: `yes` where the mask is true, `no` elsewhere (`no` may have a batch of one)."""

    def pick(name: str) -> Tensor:
        return torch.where(
            scatter_like(mask_B, getattr(yes, name)).bool(), getattr(yes, name), getattr(no, name)
        )

    return Conditioning(**{name: pick(name) for name in vars(yes)})


@dataclass(frozen=True)
class Column:
    """What a score says of N pairs: a number for each, a statistic of the whole set, or both.

    What is published is `statistic` of the places of the usable pairs or, without one, the mean of
    `values_N` (with `root` its square root). A value is NaN where a pair has none; `failed` says why.
    """

    meaning: str
    better: Literal["higher", "lower"]
    values_N: Tensor | None = None
    root: bool = False
    statistic: Callable[[Tensor], float] | None = None
    failed: Mapping[int, str] = field(default_factory=dict)
    note: str = ""
    """What a reader of the number must know about these pairs."""

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ValueError(f"better is {quoted(self.better)}; write 'higher' or 'lower'")


def columns_of(found: object) -> dict[str, Column]:
    """What a score returned; TypeError for anything else than a mapping from names to Columns."""
    if not isinstance(found, Mapping) or not all(isinstance(each, Column) for each in found.values()):
        raise TypeError(f"it returns {quoted(found)}; return a mapping from names to Columns")
    return dict(found)
