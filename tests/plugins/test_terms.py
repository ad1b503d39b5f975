"""One contract, every loss and every response enhancement."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from steps import batch_of, config_of, parts_of

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.plugins.discovery import load_plugins

LOSSES = sorted(load_plugins().of_kind("loss"))
RESPONSES = sorted(load_plugins().of_kind("response"))
COMMON = ("reward=clip-reward", "counterfactuals.enabled=true", "control_map=sfcm-counterfactual")


def alone(folder: Path, *, loss: str | None = None, response: str | None = None) -> RunConfig:
    """A run with one term; a response needs a loss beside it, which the test leaves out of the sum."""
    off = [f"losses.{name}.weight=0" for name in ("text-consistency", "fine-grained")]
    adapter = "adalora-adapter" if loss == "orthogonality" else "lora-adapter"
    chosen = [f"losses.{loss}.weight=1", *(["losses.denoising.weight=0"] if loss != "denoising" else [])]
    wanted = chosen if loss else [f"response={response}", "response.weight=1"]
    quiet = ["response.weight=0"] if loss else []
    schedule = [f"losses.{loss}.start=0"] if loss else ["response.start=0", "response.max_timestep=1"]
    return config_of(folder, *COMMON, f"adapter={adapter}", *off, *wanted, *quiet, *schedule)


def report_of(parts: Parts, seed: int = 0):
    return dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(seed))[1]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_finite_scalar_with_gradient_and_the_seed_decides_it(
    name: str, tiny_folder: Path
) -> None:
    parts = parts_of(alone(tiny_folder, loss=name))
    report = report_of(parts)
    assert set(report.raw) == {name}
    assert report.raw[name].shape == ()
    assert report.raw[name] >= 0
    report.total.backward()
    gradients = [parameter.grad for parameter in parts.adapter.parameters() if parameter.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    again = report_of(parts_of(alone(tiny_folder, loss=name)))
    assert torch.equal(again.raw[name], report.raw[name])


@pytest.mark.parametrize("name", RESPONSES)
def test_an_enhancement_lies_between_0_and_2_and_has_a_gradient(name: str, tiny_folder: Path) -> None:
    parts = parts_of(alone(tiny_folder, response=name))
    report = report_of(parts)
    assert 0 < report.raw[name] <= 2
    report.raw[name].backward()
    assert any(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in parts.adapter.parameters()
    )


@pytest.mark.parametrize("name", RESPONSES)
def test_a_share_of_the_enhancement_is_all_of_it_in_the_mean(
    name: str, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = alone(tiny_folder, response=name)
    everyone = config.train.model_copy(update={"base_share": 0.0, "empty_share": 0.0, "noise_share": 0.0})
    parts = parts_of(config.model_copy(update={"train": everyone}))
    state, report = dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0))
    decoded: list[int] = []
    decode = parts.backbone.decode
    monkeypatch.setattr(
        parts.backbone, "decode", lambda latents: (decoded.append(len(latents)), decode(latents))[1]
    )
    term = config.response.model_copy(update={"share": 0.4}).build()
    with torch.no_grad():
        values = torch.stack(
            [term(replace(state, generator=torch.Generator().manual_seed(seed))) for seed in range(300)]
        )
    assert set(decoded) == {1, 2}, "0.4 of four rows are one or two"
    assert sum(decoded) / len(decoded) == pytest.approx(1.6, abs=0.1)
    assert float(values.mean()) == pytest.approx(float(report.raw[name].detach()), rel=0.05)


def test_a_small_share_of_the_enhancement_leaves_steps_without(tiny_folder: Path) -> None:
    config = alone(tiny_folder, response="clip-direction")
    parts = parts_of(config)
    state, _ = dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0))
    term = config.response.model_copy(update={"share": 0.01}).build()
    value = term(replace(state, generator=torch.Generator().manual_seed(0)))
    assert value == 0
    value.backward()


@pytest.mark.parametrize(
    "name", ["output-preservation", "blank-preservation", "masked-prior-preservation", "output-alignment"]
)
def test_what_compares_with_the_original_is_zero_at_an_untrained_adapter(
    name: str, tiny_folder: Path
) -> None:
    everything_base = ["train.base_share=0.999"] if name == "output-alignment" else []
    config = alone(tiny_folder, loss=name)
    untrained = parts_of(config_of_with(config, tiny_folder, everything_base), trained=False)
    assert report_of(untrained).raw[name] < 1e-10
    assert report_of(parts_of(config)).raw[name] > 1e-6


def config_of_with(config: RunConfig, folder: Path, assignments: list[str]) -> RunConfig:
    if not assignments:
        return config
    train = config.train.model_copy(update={"base_share": 0.999})
    return config.model_copy(update={"train": train})


@pytest.mark.parametrize("features", ["query", "hidden", "query_ref_projection"])
def test_fine_grained_features_agree_where_nothing_was_trained(features: str, tiny_folder: Path) -> None:
    option = f"losses.fine-grained.features={features}"
    everything_base = ("train.base_share=0.999", "control_map=uniform", option)
    assert (
        report_of(parts_of(config_of(tiny_folder, *everything_base), trained=False)).raw["fine-grained"] == 0
    )
    assert report_of(parts_of(config_of(tiny_folder, "control_map=uniform", option))).raw["fine-grained"] > 0


@pytest.mark.parametrize("adapter", ["lora-adapter", "full-unet"])
def test_the_reference_projection_is_the_originals(adapter: str, tiny_folder: Path) -> None:
    option = "losses.fine-grained.features=query_ref_projection"
    parts = parts_of(config_of(tiny_folder, f"adapter={adapter}", "control_map=uniform", option))
    state, report = dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0))
    assert state.reference is not None
    layers = dict(parts.backbone.denoiser.named_modules())
    losses = []
    with parts.adapter.disabled(), torch.no_grad():
        for layer, hidden in state.response.hidden.items():
            to_q = layers[f"{layer}.to_q"]
            losses.append((to_q(hidden) - to_q(state.reference.hidden[layer])).pow(2).mean())
    torch.testing.assert_close(report.raw["fine-grained"].detach(), torch.stack(losses).mean())
