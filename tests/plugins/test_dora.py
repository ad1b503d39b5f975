"""DoRA: a straight way between two models at every strength, merged or not, and what a run leaves of it."""

from pathlib import Path

import pytest
import torch
from test_adapters import DORA, Predict, attached, cond, predict, train_a_step
from test_trainer import config_of, noise_folder, same, train_whole_and_killed, weights

from spf_core.plugins.discovery import load_plugins
from spf_plugins.backbones.stable_diffusion import StableDiffusion

__all__ = ["cond", "predict"]  # fixtures


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_dora_is_a_straight_way_to_rows_of_a_learnt_size(
    tiny_backbone: StableDiffusion, predict: Predict, strength: float
) -> None:
    adapter = attached(DORA, tiny_backbone)
    train_a_step(adapter, predict)
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_q"
    layer, state = tiny_backbone.denoiser.get_submodule(name), adapter.state_dict()
    original = layer.get_base_layer().weight
    changed = original + state[f"{name}.lora_B.weight"] @ state[f"{name}.lora_A.weight"]  # alpha is the rank
    size = state[f"{name}.lora_magnitude_vector.weight"][:, None]
    tuned = size * changed / changed.norm(dim=1, keepdim=True)
    adapter.scale(strength)
    inputs = torch.randn(5, original.shape[1], generator=torch.Generator().manual_seed(0))
    expected = inputs @ (original + strength * (tuned - original)).T
    torch.testing.assert_close(layer(inputs), expected)
    torch.testing.assert_close(
        adapter.merged()[f"unet.{name}.weight"], original + strength * (tuned - original)
    )


def test_a_dora_run_resumes_and_says_that_it_is_no_lora_file(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, plugins = tmp_path / "data", load_plugins()
    data.mkdir()
    config = config_of(plugins, tiny_folder, noise_folder(data), "adapter.dora=true", preset="lora")
    train_whole_and_killed(config, tmp_path, plugins)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert any("lora_magnitude_vector" in name for name in weights(tmp_path / "whole"))
    assert not (tmp_path / "whole" / "whole.safetensors").exists()
    assert "whole.safetensors' is not written: DoRA" in caplog.text
