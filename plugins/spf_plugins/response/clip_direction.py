"""Response enhancement, variant A of the reconstruction."""

import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import StepState
from spf_core.noising import clean_estimate


class ClipDirectionEnhancement:
    """L_en = 1 - cos(E_I(x0_hat) - E_T(target), E_I(x_0) - E_T(target)).

    x0_hat decodes z0_hat = (z_t - sqrt(1 - abar) eps_res) / sqrt(abar); at high noise that estimate is no
    image, hence the gate on t. Only rows inside the gate that read their target are decoded.
    """

    def __init__(self, max_timestep: float) -> None:
        self.max_timestep = max_timestep

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; 0 when no row of the batch passes the gate."""
        limit = self.max_timestep * len(state.backbone.abar_T)
        rows = (state.teaches_B & (state.noised.timesteps_B < limit)).nonzero().flatten()
        if len(rows) == 0:
            return state.response.pred_BCHW.sum() * 0
        noised, embeds = state.noised, state.batch.image_embeds_BD
        assert embeds is not None, "the engine embeds clean images for terms that need them"
        z0_hat = clean_estimate(noised.z_t_BCHW[rows], state.response.pred_BCHW[rows], noised.abar_B[rows])
        target_BD = state.batch.complete.target_embed_BD[rows]
        moved = state.backbone.embed_images(state.backbone.decode(z0_hat)) - target_BD
        return (1 - F.cosine_similarity(moved, embeds[rows] - target_BD)).mean()
