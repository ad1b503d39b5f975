"""Recording cross-attention without changing the model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from spf_core.helpers import record
from spf_core.interfaces.types import Capture, Conditioning
from spf_core.utils.prompts import Prompt
from spf_plugins.adapters import LoraAdapter
from spf_plugins.backbones.stable_diffusion import StableDiffusion

EVERYTHING = Capture(attention=True, queries=True)
MIDDLE = "mid_block.attentions.0.transformer_blocks.0.attn2"


@pytest.fixture
def inputs(tiny_backbone: StableDiffusion) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(0)
    prompts = [Prompt("an old man, red hair", "round glasses"), Prompt("a young woman")]
    cond = tiny_backbone.encode_prompts(prompts, with_target=True)
    return torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([900, 20]), cond


def hooks_and_processors(backbone: StableDiffusion) -> dict[str, Any]:
    layers = backbone.attention_sites()
    return {
        "processors": dict(backbone.denoiser.attn_processors),
        "hooks": [len(layer.to_q._forward_hooks) for layer in layers],
    }


@pytest.mark.parametrize("capture", [Capture(attention=True), Capture(queries=True), EVERYTHING])
def test_recording_does_not_change_the_prediction(
    tiny_backbone: StableDiffusion, inputs: Any, capture: Capture
) -> None:
    plain = tiny_backbone.predict(*inputs)
    recorded = tiny_backbone.predict(*inputs, capture)
    torch.testing.assert_close(recorded.pred_BCHW, plain.pred_BCHW, rtol=1e-4, atol=1e-5)


def test_nothing_is_recorded_unasked(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    output = tiny_backbone.predict(*inputs)
    assert output.attention == {}
    assert output.queries == {}


def test_every_cross_attention_layer_is_recorded_under_its_module_name(
    tiny_backbone: StableDiffusion, inputs: Any
) -> None:
    output = tiny_backbone.predict(*inputs, EVERYTHING)
    names = {name for name, _ in tiny_backbone.denoiser.named_modules() if name.endswith("attn2")}
    assert len(names) == 4
    assert set(output.attention) == set(output.queries) == names


def test_probabilities_sum_to_one_over_the_tokens(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    probabilities_BQL = tiny_backbone.predict(*inputs, EVERYTHING).attention[MIDDLE]
    assert probabilities_BQL.shape == (2, 4 * 4, 77)
    torch.testing.assert_close(probabilities_BQL.sum(dim=-1), torch.ones(2, 16))


def test_queries_are_the_outputs_of_to_q(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    seen: list[Tensor] = []
    (to_q,) = (site.to_q for site in tiny_backbone.attention_sites() if site.name == MIDDLE)
    handle = to_q.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    output = tiny_backbone.predict(*inputs, Capture(queries=True))
    handle.remove()
    assert torch.equal(output.queries[MIDDLE], seen[0])
    assert output.attention == {}


def test_queries_alone_keep_the_stock_processors(tiny_backbone: StableDiffusion) -> None:
    before = dict(tiny_backbone.denoiser.attn_processors)
    with record(tiny_backbone.attention_sites(), Capture(queries=True)):
        assert tiny_backbone.denoiser.attn_processors == before


def test_self_attention_keeps_its_processors_while_recording(tiny_backbone: StableDiffusion) -> None:
    before = dict(tiny_backbone.denoiser.attn_processors)
    with record(tiny_backbone.attention_sites(), EVERYTHING):
        during = tiny_backbone.denoiser.attn_processors
        changed = {name for name in before if during[name] is not before[name]}
    assert changed == {name for name in before if name.endswith("attn2.processor")}


def test_layers_are_as_before_after_recording(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    before = hooks_and_processors(tiny_backbone)
    tiny_backbone.predict(*inputs, EVERYTHING)
    assert hooks_and_processors(tiny_backbone) == before


def test_layers_are_as_before_after_an_exception(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    before = hooks_and_processors(tiny_backbone)
    wrong_channels = torch.zeros(2, 5, 8, 8)
    with pytest.raises(RuntimeError):
        tiny_backbone.predict(wrong_channels, *inputs[1:], EVERYTHING)
    assert hooks_and_processors(tiny_backbone) == before


def test_gradients_flow_through_recordings_into_lora(tiny_backbone: StableDiffusion, inputs: Any) -> None:
    adapter = LoraAdapter(targets=("to_q",), attention="cross").build()
    adapter.attach(tiny_backbone)
    output = tiny_backbone.predict(*inputs, EVERYTHING)
    (output.attention[MIDDLE][..., 3].sum() + output.queries[MIDDLE].sum()).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters())
