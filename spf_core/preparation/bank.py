"""The reference bank: what the original model does on states of its own sampling, computed once.

theta_0 never changes, so z_t, eps_ref, A_ref and Q_ref of a base text and a seed can be kept and reused: a
step on them runs the response path alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from spf_core.dual_path.states import Drawn
from spf_core.interfaces import Backbone
from spf_core.interfaces.types import Capture, PathOutput, index
from spf_core.preparation.encoding import CHUNK, CachedRows
from spf_core.preparation.trajectories import Trajectories
from spf_core.runs.cache import kept
from spf_core.utils.progress import Progress, silent


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
            self.outputs.each(lambda tensor: tensor[rows, place]),
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
        flat = [output.named() for output in outputs]
        return {name: _rows_first([each[name] for each in flat], count) for name in flat[0]}

    made_of = {"attention": capture.attention, "queries": capture.queries}
    found = kept(
        "reference-bank",
        backbone,
        made_of,
        {"states": states, "timesteps": timesteps, "base": rows.base.embeds_BLD},
        compute,
    )
    return ReferenceBank(states, timesteps, PathOutput.from_named(found))


def _rows_first(parts: list[Tensor], count: int) -> Tensor:
    """Chunks of row-major states as N K ..."""
    whole = torch.cat(parts)
    return whole.view(-1, count, *whole.shape[1:])


def _chunks(rows: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Row and place of all states, row-major, some at a time."""
    for part in torch.split(torch.arange(rows * count), CHUNK):
        yield part // count, part % count
