"""How the original model's output is had."""

import torch
from spf_core.interfaces import Adapter, Backbone, Capture, Conditioning, Noised, PathOutput, index


class NewThingPath:
    """pred_ref = pred_theta0(z_t, t, base text), without gradient, row by row."""

    @torch.no_grad()
    def run(
        self, backbone: Backbone, adapter: Adapter, noised: Noised, base: Conditioning, capture: Capture
    ) -> PathOutput:
        """Return theta_0's output for the same z_t and t; the adapter is on again afterwards."""
        with adapter.disabled():
            rows = [
                backbone.predict(
                    noised.z_t_BCHW[row : row + 1],
                    noised.timesteps_B[row : row + 1],
                    index(base, torch.tensor([row], device=noised.timesteps_B.device)),
                    capture,
                ).named()
                for row in range(len(noised.z_t_BCHW))
            ]
        return PathOutput.from_named({name: torch.cat([row[name] for row in rows]) for name in rows[0]})
