"""Terms on the weights themselves."""

from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.interfaces import AllocatesRank, HasWeightDrift, StepState


class L2DriftLoss:
    """|| theta - theta_0 ||^2 over the trained weights (Preserve and Personalize, ICLR 2026)."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; ConfigError for an adapter that does not know its drift."""
        if not isinstance(state.adapter, HasWeightDrift):
            raise ConfigError(
                "losses.weight-drift: this adapter has no drift(); use lora-adapter or full-unet"
            )
        return state.adapter.drift()


class OrthogonalityLoss:
    """mean over layers of || A A^T - I ||_F + || B^T B - I ||_F (AdaLoRA, arXiv 2303.10512, eq. 4)."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; ConfigError for an adapter without such factors."""
        if not isinstance(state.adapter, AllocatesRank):
            raise ConfigError(
                "losses.orthogonality: this adapter has no budget of ranks; use adalora-adapter"
            )
        return state.adapter.orthogonality()
