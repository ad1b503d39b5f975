"""AdaLoRA: low-rank updates B diag(E) A that share a budget of ranks (Zhang et al., arXiv 2303.10512)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from peft import AdaLoraConfig
from peft.tuners.adalora import RankAllocator
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone, LowRankUpdate
from spf_plugins.adapters.peft_layers import ADAPTER, PeftLayers
from spf_plugins.adapters.state import merged_layers
from spf_plugins.adapters.targets import find_targets

if TYPE_CHECKING:
    from spf_plugins.adapters import AdaLoraAdapter

_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class Budget:
    """The importance of every factor so far, by which PEFT's allocator shares out the ranks."""

    def __init__(self) -> None:
        self.allocator: Any = None
        self.kept: dict[str, list[bool]] = {}

    def state_dict(self) -> dict[str, Tensor]:
        """Importance scores and the final pattern of ranks."""
        scores = {
            f"{score}:{name}": tensor.clone()
            for score in _SCORES
            for name, tensor in getattr(self.allocator, score, {}).items()
        }
        return {**scores, **{f"kept:{name}": torch.tensor(rows) for name, rows in self.kept.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`."""
        for key, tensor in state.items():
            kind, _, name = key.partition(":")
            if kind == "kept":
                self.kept[name] = tensor.tolist()
            else:
                getattr(self.allocator, kind)[name] = tensor


class AdaLora(PeftLayers):
    """PEFT's SVD layers and rank allocator; satisfies `interfaces.Adapter` and `interfaces.AllocatesRank`.

    PEFT adds the orthogonality term only to models whose output has a `loss`, which UNets lack: here it is
    `orthogonality()`, read by the loss term of that name.
    """

    def __init__(self, config: "AdaLoraAdapter") -> None:
        super().__init__()
        self.config = config
        self.budget = Budget()
        self._unet: Any = None

    def attach(self, backbone: Backbone) -> None:
        """Add the SVD layers to the denoiser and freeze everything else in it."""
        self._unet = backbone.denoiser
        targets = find_targets(backbone, self.config)
        self._unet.requires_grad_(False)
        self._denoiser = backbone.denoiser_name
        self._inject(self._denoiser, self._unet, self._peft_config(targets, steps=1000))

    def _peft_config(self, targets: list[str], steps: int) -> Any:
        options = self.config
        return AdaLoraConfig(
            target_modules=targets,
            init_r=options.init_rank,
            target_r=options.target_rank,
            lora_alpha=math.ceil(options.init_rank if options.alpha is None else options.alpha),
            tinit=int(options.warmup * steps),
            tfinal=max(1, int(options.settle * steps)),
            deltaT=options.every,
            beta1=options.beta,
            beta2=options.beta,
            total_step=steps,
        )

    def start(self, steps: int) -> None:
        """Plan the budget over `steps` optimizer steps."""
        try:
            plan = self._peft_config([], steps)
            if plan.total_step - plan.tfinal < 2:
                raise ValueError("no step scores the factors before the budget is reached")
        except ValueError:
            raise ConfigError(
                f"train.steps={steps} are too few to drop ranks between adapter.warmup={self.config.warmup} "
                f"and adapter.settle={self.config.settle}; train longer or choose lora-adapter"
            ) from None
        self.budget.allocator = RankAllocator(self._unet, plan, ADAPTER)

    def after_step(self, step: int) -> None:
        """Score every factor by its gradient and mask the least important ones down to the budget."""
        allocator, plan = self.budget.allocator, self.budget.allocator.peft_config
        last = plan.total_step - plan.tfinal
        if step < last:
            allocator.update_and_allocate(self._unet, step)
        elif step == last:
            _, self.budget.kept = allocator.update_and_allocate(self._unet, step, force_mask=True)
        else:
            allocator.mask_using_rank_pattern(self._unet, self.budget.kept)

    def orthogonality(self) -> Tensor:
        """Mean over layers of || A A^T - I ||_F + || B^T B - I ||_F."""
        excess = []
        for layer in self._layers:
            for gram in (
                layer.lora_A[ADAPTER] @ layer.lora_A[ADAPTER].T,
                layer.lora_B[ADAPTER].T @ layer.lora_B[ADAPTER],
            ):
                excess.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
        return torch.stack(excess).sum() / len(self._layers)

    def ranks(self) -> dict[str, int]:
        """Singular values still in use, by layer."""
        return {
            name.removesuffix(".lora_E"): int((parameter != 0).sum())
            for name, parameter in self._parameters.items()
            if name.endswith(".lora_E")
        }

    def scale(self, strength: float) -> None:
        """Multiply the update by `strength`; at 0 the layers are bypassed and the original is exact."""
        for layer in self._layers:
            layer.scaling[ADAPTER] = layer.lora_alpha[ADAPTER] * strength
        self.strength = strength
        self._enable(strength != 0)

    def updates(self) -> dict[str, LowRankUpdate]:
        """B diag(E) and A of every layer that kept a rank, without the dropped ones: plain LoRA, exactly."""
        found = {}
        for name, layer in self._named.items():
            values_R1 = layer.lora_E[ADAPTER].detach()
            kept_R = values_R1[:, 0] != 0
            if kept_R.any():
                found[name] = LowRankUpdate(
                    layer.lora_A[ADAPTER].detach()[kept_R],
                    layer.lora_B[ADAPTER].detach()[:, kept_R] * values_R1[kept_R].T,
                    layer.lora_alpha[ADAPTER] / (float(layer.ranknum[ADAPTER]) + 1e-5),  # PEFT's own scale
                )
        return found

    def merged(self) -> dict[str, Tensor]:
        """The weight of every adapted layer with its update, at the present strength, and its bias."""
        return merged_layers(self._named, self)
