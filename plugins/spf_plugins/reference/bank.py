"""The reference bank: what the original model does on states of its own sampling, computed once.

theta_0 never changes, so z_t, eps_ref, A_ref and Q_ref of a base text and a seed can be kept and reused: a
step on them runs the response path alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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

    def compute() -> dict[str, Tensor]:
        outputs = []
        for done, (chosen, place) in enumerate(_chunks(rows, count), start=1):
            texts = index(base, chosen.to(backbone.device))
            with torch.no_grad():
                outputs.append(
                    backbone.predict(states[chosen, place], timesteps[chosen, place], texts, capture)
                )
            progress("reference states", min(done * CHUNK, states.shape[0] * count), states.shape[0] * count)
        flat = [output.named() for output in outputs]
        return {name: _rows_first([each[name] for each in flat], count) for name in flat[0]}

    made_of = {"attention": capture.attention, "queries": capture.queries}
    found = cached(
        "reference-bank",
        backbone,
        made_of,
        {"states": states, "timesteps": timesteps, "base": base.embeds_BLD},
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
