"""The mathematics of the enhancement."""

import torch.nn.functional as F
from spf_core.helpers import clean_estimate, row_mean, rows_below
from spf_core.interfaces import StepState
from torch import Tensor


class NewThingTerm:
    """mean 1 - cos(E_I(decode(z0_hat)), E_T(target)) over rows with their target and t below the gate."""

    def __init__(self, max_timestep: float) -> None:
        self.max_timestep = max_timestep

    def __call__(self, state: StepState) -> Tensor:
        """Return the unweighted scalar; 0 where no row of the batch counts."""
        counts_B = state.has_target_B & rows_below(state, self.max_timestep)
        images = state.backbone.decode(clean_estimate(state, state.response.pred_BCHW))
        found_BD = state.backbone.embed_images(images)
        target_BD = state.batch.complete.target_embed_BD
        return row_mean(1 - F.cosine_similarity(found_BD, target_BD), counts_B)
