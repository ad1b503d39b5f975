"""The reference bank: what the original model does on states of its own sampling, computed once.

theta_0 never changes, so z_t, eps_ref, A_ref and Q_ref of a base text and a seed can be kept and reused: a
step on them runs the response path alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from spf_core.preparation.encoding import CHUNK, CachedRows
from spf_core.interfaces import Backbone
from spf_core.runs.cache import kept
from spf_core.utils.progress import Progress, silent
from spf_core.preparation.trajectories import Drawn, Trajectories
from spf_core.interfaces.types import Capture, PathOutput, index


@dataclass(frozen=True)
class ReferenceBank:
    """K states of every row with their timesteps and the reference path's output on each, N K ..."""

    states_NKCHW: Tensor
    timesteps_NK: Tensor
    outputs: PathOutput

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> Drawn:
        """One kept state per row."""
        kept_states = self.timesteps_NK.shape[1]
        place = torch.randint(kept_states, (len(rows),), generator=generator).to(rows.device)
        return Drawn(
            self.states_NKCHW[rows, place],
            self.timesteps_NK[rows, place],
            _each(self.outputs, lambda tensor: tensor[rows, place]),
        )


def build_bank(
    backbone: Backbone,
    rows: CachedRows,
    trajectories: Trajectories,
    capture: Capture,
    count: int,
    *,
    generator: torch.Generator,
    progress: Progress = silent,
) -> ReferenceBank:
    """Draw `count` states of every row and run theta_0 on them under the base text (before any training).

    The outputs are kept on disk for other runs of the same states, texts and model.
    """
    places = torch.arange(len(rows.ids), device=backbone.device)
    drawn = [trajectories.draw(places, generator=generator) for _ in range(count)]
    states = torch.stack([each.states_BCHW for each in drawn], dim=1)
    timesteps = torch.stack([each.timesteps_B for each in drawn], dim=1)

    def compute() -> dict[str, Tensor]:
        outputs = []
        for done, (chosen, place) in enumerate(_chunks(len(rows.ids), count), start=1):
            texts = index(rows.base, chosen.to(backbone.device))
            with torch.no_grad():
                outputs.append(
                    backbone.predict(states[chosen, place], timesteps[chosen, place], texts, capture)
                )
            progress("reference bank", min(done * CHUNK, states.shape[0] * count), states.shape[0] * count)
        flat = [_flat(output) for output in outputs]
        return {name: _rows_first([each[name] for each in flat], count) for name in flat[0]}

    made_of = {"attention": capture.attention, "queries": capture.queries}
    found = kept(
        "reference-bank",
        backbone,
        made_of,
        {"states": states, "timesteps": timesteps, "base": rows.base.embeds_BLD},
        compute,
    )
    return ReferenceBank(states, timesteps, _unflat(found))


def _rows_first(parts: list[Tensor], count: int) -> Tensor:
    """Chunks of row-major states as N K ..."""
    whole = torch.cat(parts)
    return whole.view(-1, count, *whole.shape[1:])


def _chunks(rows: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Row and place of all states, row-major, some at a time."""
    for part in torch.split(torch.arange(rows * count), CHUNK):
        yield part // count, part % count


def either(use_first_B: Tensor, first: PathOutput, second: PathOutput) -> PathOutput:
    """Row by row the first output where `use_first_B` is true, else the second."""
    one, other = _flat(first), _flat(second)
    return _unflat(
        {
            name: torch.where(use_first_B.view(-1, *[1] * (value.ndim - 1)), one[name], value)
            for name, value in other.items()
        }
    )


def detached(output: PathOutput) -> PathOutput:
    """The output without its gradient."""
    return _each(output, torch.Tensor.detach)


def _each(output: PathOutput, change: Callable[[Tensor], Tensor]) -> PathOutput:
    return _unflat({name: change(tensor) for name, tensor in _flat(output).items()})


def _flat(output: PathOutput) -> dict[str, Tensor]:
    """The prediction as `pred_BCHW`, captured tensors as `attention/LAYER` and so on."""
    named: dict[str, Tensor] = {"pred_BCHW": output.pred_BCHW}
    for what in fields(output)[1:]:
        named |= {f"{what.name}/{layer}": tensor for layer, tensor in getattr(output, what.name).items()}
    return named


def _unflat(named: dict[str, Tensor]) -> PathOutput:
    captured: dict[str, dict[str, Tensor]] = {}
    for name, tensor in named.items():
        what, _, layer = name.partition("/")
        if layer:
            captured.setdefault(what, {})[layer] = tensor
    return PathOutput(named["pred_BCHW"], **captured)
