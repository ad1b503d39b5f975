"""One contract, every adapter: off is the original, strength scales, weights travel."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from spf_core.errors import ConfigError, RunError
from spf_core.interfaces.types import Conditioning
from spf_core.plugins import AdapterConfig
from spf_core.plugins.discovery import load_plugins
from spf_core.utils.prompts import Prompt
from spf_plugins.adapters import AdaLoraAdapter, CrossAttention, FullUnet, LoraAdapter
from spf_plugins.backbones.stable_diffusion import StableDiffusion

DORA = LoraAdapter(dora=True, targets=("to_q", "to_k", "to_v", "to_out.0", "proj_in"))
CONFIGS = [LoraAdapter(), DORA, AdaLoraAdapter(), CrossAttention(), FullUnet()]
Predict = Callable[[], Tensor]

every_adapter = pytest.mark.parametrize(
    "config", CONFIGS, ids=["lora", "dora", "adalora", "cross-attention", "full-unet"]
)


@pytest.fixture
def cond(tiny_backbone: StableDiffusion) -> Conditioning:
    return tiny_backbone.encode_prompts([Prompt("an old man", "round glasses")], with_target=True)


@pytest.fixture
def predict(tiny_backbone: StableDiffusion, cond: Conditioning) -> Predict:
    z_t_BCHW = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return lambda: tiny_backbone.predict(z_t_BCHW, torch.tensor([400]), cond).pred_BCHW


def attached(config: AdapterConfig, backbone: StableDiffusion) -> Any:
    torch.manual_seed(0)
    adapter = config.build()
    adapter.attach(backbone)
    return adapter


def train_a_step(adapter: Any, predict: Predict) -> None:
    """One optimizer step that moves every trainable parameter with a gradient."""
    optimizer = torch.optim.SGD(list(adapter.parameters()), lr=0.5)
    for _ in range(2):  # LoRA's A has a gradient only once B has moved
        optimizer.zero_grad()
        predict().square().mean().backward()
        optimizer.step()


def test_adapters_are_registered() -> None:
    assert {"lora-adapter", "cross-attention", "full-unet"} <= set(load_plugins().of_kind("adapter"))


@every_adapter
def test_attaching_changes_nothing_yet(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    original = predict()
    attached(config, tiny_backbone)
    torch.testing.assert_close(predict(), original)


@every_adapter
def test_only_the_adapter_is_trainable(config: AdapterConfig, tiny_backbone: StableDiffusion) -> None:
    adapter = attached(config, tiny_backbone)
    trainable = {id(p) for p in tiny_backbone.denoiser.parameters() if p.requires_grad}
    assert {id(p) for p in adapter.parameters()} == trainable
    assert {p.dtype for p in adapter.parameters()} == {torch.float32}


@every_adapter
def test_disabled_is_the_original_bit_for_bit(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    original = predict()
    adapter = attached(config, tiny_backbone)
    train_a_step(adapter, predict)
    tuned = predict()
    with adapter.disabled():
        assert torch.equal(predict(), original)
    assert torch.equal(predict(), tuned)
    assert not torch.equal(tuned, original)


@every_adapter
def test_adapter_is_on_again_after_an_exception(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    adapter = attached(config, tiny_backbone)
    train_a_step(adapter, predict)
    tuned = predict()
    with pytest.raises(KeyError), adapter.disabled():
        raise KeyError
    assert torch.equal(predict(), tuned)


@every_adapter
def test_switching_off_between_forward_and_backward_leaves_the_gradients(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    adapter = attached(config, tiny_backbone)
    train_a_step(adapter, predict)
    gradients = []
    for switch in (False, True):
        for parameter in adapter.parameters():
            parameter.grad = None
        loss = predict().square().mean()
        if switch:
            with torch.no_grad(), adapter.disabled():
                predict()
        loss.backward()
        gradients.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@every_adapter
def test_strength_runs_from_the_original_to_the_tuned_model(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    original = predict()
    adapter = attached(config, tiny_backbone)
    train_a_step(adapter, predict)
    tuned = predict()
    adapter.scale(0.5)
    half = predict()
    adapter.scale(0)
    assert torch.equal(predict(), original)
    adapter.scale(1)
    assert torch.equal(predict(), tuned)
    assert 0 < (half - original).norm() < (tuned - original).norm()


@every_adapter
def test_strength_survives_switching_off(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    original = predict()
    adapter = attached(config, tiny_backbone)
    train_a_step(adapter, predict)
    for strength in (0.5, 0):
        adapter.scale(strength)
        before = predict()
        with adapter.disabled():
            assert torch.equal(predict(), original)
        assert torch.equal(predict(), before)


@every_adapter
def test_weights_travel_to_another_backbone_whatever_the_strength(
    config: AdapterConfig, tiny_backbone: StableDiffusion, predict: Predict
) -> None:
    adapter = attached(config, tiny_backbone)
    fresh = adapter.state_dict()
    train_a_step(adapter, predict)
    tuned = predict()
    adapter.scale(0.25)
    trained = adapter.state_dict()
    adapter.load_state_dict(fresh)
    adapter.scale(1)
    assert not torch.equal(predict(), tuned)
    adapter.load_state_dict(trained)
    assert torch.equal(predict(), tuned)


@every_adapter
def test_unfitting_weights_are_refused_by_name(config: AdapterConfig, tiny_backbone: StableDiffusion) -> None:
    adapter = attached(config, tiny_backbone)
    state = adapter.state_dict()
    name, *rest = state
    cases = {
        f"lack the tensor '{name}'": {key: state[key] for key in rest},
        "unknown tensor 'other'": {**state, "other": torch.zeros(1)},
        f"'{name}' has shape [1] instead of {list(state[name].shape)}": {**state, name: torch.zeros(1)},
    }
    for message, wrong in cases.items():
        with pytest.raises(RunError) as caught:
            adapter.load_state_dict(wrong)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_lora_starts_the_same_from_the_same_seed(tiny_backbone: StableDiffusion, tiny_folder: Any) -> None:
    first = attached(LoraAdapter(), tiny_backbone).state_dict()
    second = attached(LoraAdapter(), StableDiffusion(tiny_folder)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("attention", "block"), [("cross", ".attn2."), ("self", ".attn1.")])
def test_lora_attention_choice_limits_the_layers(
    tiny_backbone: StableDiffusion, attention: Any, block: str
) -> None:
    state = attached(LoraAdapter(attention=attention, rank=2), tiny_backbone).state_dict()
    assert all(block in name for name in state)
    assert len(state) == 4 * 4 * 2  # layers, projections, factors


def test_lora_target_without_a_layer_is_refused(tiny_backbone: StableDiffusion) -> None:
    with pytest.raises(ConfigError, match=r"no layer ends with 'to_p'\. Did you mean 'to_"):
        attached(LoraAdapter(targets=("to_q", "to_p")), tiny_backbone)


def test_cross_attention_trains_all_of_attn2_and_nothing_else(tiny_backbone: StableDiffusion) -> None:
    names = set(attached(CrossAttention(), tiny_backbone).state_dict())
    assert names == {name for name, _ in tiny_backbone.denoiser.named_parameters() if ".attn2." in name}


def test_a_pattern_chooses_layers_by_their_whole_names(tiny_backbone: StableDiffusion) -> None:
    names = attached(LoraAdapter(targets=("up_blocks.*.attn2.to_[kv]*",)), tiny_backbone).state_dict()
    layers = {name.rpartition(".lora_")[0] for name in names}
    wanted = ("attn2.to_k", "attn2.to_v")
    modules = tiny_backbone.denoiser.named_modules()
    assert layers == {name for name, _ in modules if name.startswith("up_blocks.") and name.endswith(wanted)}


def test_a_pattern_without_a_layer_is_refused(tiny_backbone: StableDiffusion) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.targets: no layer matches 'middle_block\.\*\.to_q'"):
        attached(LoraAdapter(targets=("to_q", "middle_block.*.to_q")), tiny_backbone)
