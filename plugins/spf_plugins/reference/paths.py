"""eps_ref = eps_theta0(z_t, t, base text), without gradient."""

import copy

import torch

from spf_core.interfaces import Adapter, Backbone, Capture, Conditioning, Noised, PathOutput


class AdapterOffPath:
    """Runs the same weights with the adapter off; satisfies `interfaces.Reference`."""

    @torch.no_grad()
    def run(
        self, backbone: Backbone, adapter: Adapter, noised: Noised, base: Conditioning, capture: Capture
    ) -> PathOutput:
        """Return theta_0's output for the same z_t and t; the adapter is on again afterwards."""
        with adapter.disabled():
            return backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base, capture)


class FrozenCopyPath:
    """Runs a copy of theta_0 made at the first call; satisfies `interfaces.Reference`."""

    def __init__(self) -> None:
        self._original: Backbone | None = None

    @torch.no_grad()
    def run(
        self, backbone: Backbone, adapter: Adapter, noised: Noised, base: Conditioning, capture: Capture
    ) -> PathOutput:
        """Return theta_0's output for the same z_t and t."""
        if self._original is None:
            self._original = copy_original(backbone, adapter)
        return self._original.predict(noised.z_t_BCHW, noised.timesteps_B, base, capture)


def copy_original(backbone: Backbone, adapter: Adapter) -> Backbone:
    """`backbone` with a denoiser of its own that stays theta_0; encoders and schedule are shared."""
    original = copy.copy(backbone)
    with adapter.disabled():
        original.denoiser = copy.deepcopy(backbone.denoiser)
    original.denoiser.requires_grad_(False)
    original.denoiser.zero_grad(set_to_none=True)
    return original
