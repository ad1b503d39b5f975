"""The reference bank: what the original model does on states of its own sampling, computed once.

theta_0 never changes, so z_t, eps_ref, A_ref and Q_ref of a base text and a seed can be kept and reused: a
step on them runs the response path alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spf_core.interfaces import Backbone, SampledStates, States
from spf_core.interfaces.types import Capture, Conditioning, PathOutput, index
from spf_core.runs.cache import cached
from spf_core.utils.progress import Progress
from spf_plugins.reference.paths import AdapterOffPath

CHUNK = 16  # states in a pass


@dataclass(frozen=True)
class ReferenceBank:
    """K states of every row with their timesteps and the reference path's output on each, N K ..."""

    states_NKCHW: Tensor
    timesteps_NK: Tensor
    outputs: PathOutput

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> SampledStates:
        """One kept state per row."""
        kept_states = self.timesteps_NK.shape[1]
        place = torch.randint(kept_states, (len(rows),), generator=generator).to(rows.device)
        return SampledStates(
            self.states_NKCHW[rows, place],
            self.timesteps_NK[rows, place],
            self.outputs.each(lambda tensor: tensor[rows, place]),
        )


class BankPath(AdapterOffPath):
    """Runs theta_0 on `count` states of every row before training; satisfies `interfaces.RecordsStates`.

    Where a step asks for theta_0 under another text, or pictures of the training are drawn, the adapter is
    switched off.
    """

    def __init__(self, count: int) -> None:
        """`count` states of each row are kept."""
        self.count = count

    def record(
        self,
        backbone: Backbone,
        base: Conditioning,
        states: States,
        capture: Capture,
        *,
        generator: torch.Generator,
        progress: Progress,
    ) -> ReferenceBank:
        """Draw states of every row and run theta_0 on them under the base text.

        The outputs are kept on disk for other runs of the same states, texts and model.
        """
        return _bank(backbone, base, states, capture, self.count, generator, progress)


def _bank(
    backbone: Backbone,
    base: Conditioning,
    trajectories: States,
    capture: Capture,
    count: int,
    generator: torch.Generator,
    progress: Progress,
) -> ReferenceBank:
    rows = len(base.embeds_BLD)
    places = torch.arange(rows, device=backbone.device)
    drawn = [trajectories.draw(places, generator=generator) for _ in range(count)]
    states = torch.stack([each.states_BCHW for each in drawn], dim=1)
    timesteps = torch.stack([each.timesteps_B for each in drawn], dim=1)

    total, outputs = rows * count, list[dict[str, Tensor]]()
    made_of = {"attention": capture.attention, "queries": capture.queries}
    progress("reference states", 0, total)
    for done, (chosen, place) in enumerate(_chunks(rows, count), start=1):
        some = states[chosen, place], timesteps[chosen, place], index(base, chosen.to(backbone.device))
        tensors = {
            "states": some[0],
            "timesteps": some[1],
            "base": some[2].embeds_BLD,
            "sizes": some[2].sizes_B6,
        }
        make = partial(_outputs, backbone, *some, capture)
        outputs.append(cached("reference-bank", backbone, made_of, tensors, make))
        progress("reference states", min(done * CHUNK, total), total)
    found = {name: _rows_first([each[name] for each in outputs], count) for name in outputs[0]}
    return ReferenceBank(states, timesteps, PathOutput.from_named(found))


@torch.no_grad()
def _outputs(
    backbone: Backbone, states: Tensor, timesteps: Tensor, texts: Conditioning, capture: Capture
) -> dict[str, Tensor]:
    return backbone.predict(states, timesteps, texts, capture).named()


def _rows_first(parts: list[Tensor], count: int) -> Tensor:
    """Chunks of row-major states as N K ..."""
    whole = torch.cat(parts)
    return whole.view(-1, count, *whole.shape[1:])


def _chunks(rows: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Row and place of all states, row-major, some at a time."""
    for part in torch.split(torch.arange(rows * count), CHUNK):
        yield part // count, part % count
