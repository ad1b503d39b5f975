"""States z_t of the original model's own sampling: where the tuned model is used, not where its data lies."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from spf_core.config.sections import SampleSection
from spf_core.interfaces import Backbone
from spf_core.interfaces.training import SampledStates
from spf_core.interfaces.types import Conditioning, index
from spf_core.runs.cache import cached
from spf_core.sampling.sampler import guided_prediction, rows_at_once
from spf_core.utils.progress import Progress, silent

EARLY = 2.0  # s / S = u^2: most of what a picture shows is settled in the first steps


@dataclass(frozen=True)
class Trajectories:
    """`states_NSCHW[n, s]` is z_t of row n's base text at sampler step s, where t = `timesteps_S[s]`.

    `from_noise` says that step 0 is where sampling starts, so that any noise stands for it. Where rows share
    trajectories, row n has that of number `shared_N[n]`.
    """

    states_NSCHW: Tensor
    timesteps_S: Tensor
    from_noise: bool = True
    shared_N: Tensor | None = None

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> SampledStates:
        """One state per row, early ones more often; the very first is drawn afresh."""
        u = torch.rand(rows.shape, generator=generator)
        steps = (u**EARLY * len(self.timesteps_S)).long()
        states = self.states_NSCHW[rows if self.shared_N is None else self.shared_N[rows], steps]
        fresh = torch.randn(states.shape, generator=generator).to(states)
        started = ((steps > 0) | (not self.from_noise)).to(states.device).view(-1, 1, 1, 1)
        return SampledStates(torch.where(started, states, fresh), self.timesteps_S[steps])


@torch.no_grad()
def record_trajectories(
    backbone: Backbone,
    base: Conditioning,
    empty: Conditioning,
    latent_CHW: torch.Size,
    options: SampleSection,
    *,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Trajectories:
    """Sample every row's base text from pure noise with theta_0 (before any training).

    Every z_t that the tuned model may meet is returned: those below `options.handover`. They are kept on
    disk, a few rows at a time, for other runs of the same texts, model and noise.
    """
    timesteps = backbone.noise.sampler(options.steps).timesteps_S
    met_S = timesteps < backbone.noise.timestep_at(options.handover)
    count, states = len(base.embeds_BLD), []
    made_of = {"steps": options.steps, "guidance": options.guidance, "met": met_S.tolist()}
    progress("reference trajectories", 0, count)
    for rows in torch.split(torch.arange(count, device=backbone.device), rows_at_once(*latent_CHW[1:])):
        noise = torch.randn(len(rows), *latent_CHW, generator=generator).to(backbone.device)
        texts = index(base, rows)
        tensors = {"noise": noise, "base": texts.embeds_BLD, "empty": empty.embeds_BLD}
        tensors["sizes"] = texts.sizes_B6
        make = partial(_visited, backbone, noise, texts, empty, options, met_S)
        states.append(cached("trajectories", backbone, made_of, tensors, make)["states"])
        progress("reference trajectories", int(rows[-1]) + 1, count)
    return Trajectories(torch.cat(states), timesteps[met_S], from_noise=bool(met_S[0]))


def _visited(
    backbone: Backbone,
    z_t: Tensor,
    texts: Conditioning,
    empty: Conditioning,
    options: SampleSection,
    met_S: Tensor,
) -> dict[str, Tensor]:
    """The states from z_t on, rows first, of the steps that are met."""
    sampler, visited = backbone.noise.sampler(options.steps), []
    for place, t in enumerate(sampler.timesteps_S):
        visited.append(z_t)
        pred = guided_prediction(backbone, z_t, t.expand(len(z_t)), texts, empty, options.guidance)
        z_t = sampler.step(pred, place, z_t)
    return {"states": torch.stack(visited, dim=1)[:, met_S]}
