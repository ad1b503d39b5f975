"""Reference paths: the original model, whatever the adapter has learnt."""

from typing import Any

import pytest
import torch

from spf_core.interfaces.types import Capture, Noised
from spf_core.plugins import AdapterConfig, ReferenceConfig
from spf_core.plugins.discovery import load_plugins
from spf_core.utils.prompts import Prompt
from spf_plugins.adapters import CrossAttention, LoraAdapter
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.reference import AdapterOff, FrozenCopy

CAPTURE = Capture(attention=True, queries=True)
every_path = pytest.mark.parametrize("config", [AdapterOff(), FrozenCopy()], ids=lambda config: config.name)
two_adapters = pytest.mark.parametrize(
    "adapter_config", [LoraAdapter(), CrossAttention()], ids=lambda config: config.name
)


@pytest.fixture
def noised() -> Noised:
    generator = torch.Generator().manual_seed(0)
    z_t_BCHW = torch.randn(1, 4, 8, 8, generator=generator)
    return Noised(
        z_t_BCHW,
        torch.zeros_like(z_t_BCHW),
        torch.tensor([300]),
        torch.ones(1, dtype=torch.bool),
    )


def moved(adapter_config: AdapterConfig, backbone: StableDiffusion) -> Any:
    """An adapter that changes the model, as if trained."""
    adapter = adapter_config.build()
    adapter.attach(backbone)
    nudge(adapter)
    return adapter


def nudge(adapter: Any) -> None:
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1)


def test_reference_paths_are_registered() -> None:
    assert {"adapter-off", "frozen-copy"} <= set(load_plugins().of_kind("reference"))


@every_path
@two_adapters
def test_reference_is_the_original_without_gradient(
    config: ReferenceConfig, adapter_config: AdapterConfig, tiny_backbone: StableDiffusion, noised: Noised
) -> None:
    base = tiny_backbone.encode_prompts([Prompt("an old man")], with_target=False)
    original = tiny_backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base, CAPTURE)
    adapter, path = moved(adapter_config, tiny_backbone), config.build()
    first = path.run(tiny_backbone, adapter, noised, base, CAPTURE)
    nudge(adapter)
    second = path.run(tiny_backbone, adapter, noised, base, CAPTURE)
    for output in (first, second):
        assert torch.equal(output.pred_BCHW, original.pred_BCHW)
        assert all(torch.equal(output.queries[layer], original.queries[layer]) for layer in original.queries)
        assert set(output.attention) == set(original.attention)
        assert not output.pred_BCHW.requires_grad


@every_path
@two_adapters
def test_reference_path_leaves_adapter_enabled(
    config: ReferenceConfig, adapter_config: AdapterConfig, tiny_backbone: StableDiffusion, noised: Noised
) -> None:
    base = tiny_backbone.encode_prompts([Prompt("an old man")], with_target=False)
    adapter = moved(adapter_config, tiny_backbone)
    tuned = tiny_backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base)
    config.build().run(tiny_backbone, adapter, noised, base, Capture())
    after = tiny_backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base)
    assert torch.equal(after.pred_BCHW, tuned.pred_BCHW)
    assert all(parameter.requires_grad for parameter in adapter.parameters())
    assert after.pred_BCHW.requires_grad
