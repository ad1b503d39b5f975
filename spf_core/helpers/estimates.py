"""What a step's predictions and attention mean: clean estimates, and where a path looks."""

from torch import Tensor

from spf_core.helpers.maps import min_max, phrase_attention
from spf_core.interfaces import PathOutput, StepState


def clean_estimate(state: StepState, pred_BCHW: Tensor, rows: Tensor | None = None) -> Tensor:
    """z0_hat, the clean latents that a prediction at the step's z_t means, B C H W.

    `rows` are the numbers of some rows of the batch, a LongTensor; then only theirs are returned. Gradient
    flows to the prediction. At high noise the estimate shows no image, so terms usually leave out rows with a
    large t: `state.noised.timesteps_B < state.backbone.noise.timestep_at(0.6)`.
    """
    z_t, timesteps_B = state.noised.z_t_BCHW, state.noised.timesteps_B
    if rows is not None:
        z_t, pred_BCHW, timesteps_B = z_t[rows], pred_BCHW[rows], timesteps_B[rows]
    return state.backbone.noise.clean(z_t, pred_BCHW, timesteps_B)


def attention_to(state: StepState, path: PathOutput, tokens_BL: Tensor) -> Tensor:
    """Where a path looks when it reads some tokens of its text: each row scaled to [0, 1], B 1 H W.

    `tokens_BL` weighs the tokens, as `state.response_text.target_BL` does for the target, or
    `state.reference_text.phrase_BPL[:, p]` for base phrase p. It is the mean over all layers that read the
    text, at the size of the latents. A constant row, such as that of an absent phrase, becomes 0. The term or
    control map must need `attention`.
    """
    size = state.noised.z_t_BCHW.shape[-2:]
    attention = {layer: values.float() for layer, values in path.attention.items()}
    return min_max(phrase_attention(attention, tokens_BL, state.grids, size))


def row_mean(values_B: Tensor, rows_B: Tensor) -> Tensor:
    """Mean over the rows that count (bool, or 0 and 1), a scalar; 0 with gradient where none does."""
    return (values_B * rows_B).sum() / rows_B.sum().clamp(min=1)


def rows_below(state: StepState, level: float) -> Tensor:
    """Which rows have a noise level below `level`, a fraction of the noise schedule in [0, 1]; bool, B."""
    below: Tensor = state.noised.timesteps_B < state.backbone.noise.timestep_at(level)
    return below
