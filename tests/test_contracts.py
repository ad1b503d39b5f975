"""Plugin parts that break their contract are named with their provider, as early as possible."""

import logging
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from steps import run
from test_trainer import noise_folder

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.errors import ConfigError, NonFiniteError, PluginError, SpfError
from spf_core.plugins import AdapterConfig, ControlMapConfig, LossConfig, ReferenceConfig, RewardConfig
from spf_core.plugins.building import attach, built
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.training.loop import train

Part = Callable[[Any], Any]


def with_plugin(base: type, part: object, needs: frozenset[str] = frozenset()) -> Plugins:
    """Everything that is installed, and a component 'mine' of a package whose build() returns the part."""

    class Mine(base):  # type: ignore[misc]
        """A component of somebody else."""

        name = "mine"

        def build(self) -> Any:
            if isinstance(part, BaseException):
                raise part
            return part

    if needs:
        Mine.needs = needs
    plugins = load_plugins()
    plugins.add(Mine, "my-package", "1.2")
    return plugins


def config_of(plugins: Plugins, folder: Path, *more: str, preset: str = "lora", **choices: Any) -> RunConfig:
    assignments = [f"backbone.path={folder}", "train.batch_size=2", "sample.every=0", "train.steps=2", *more]
    return load_run_config(plugins, preset=preset, chosen=["mine"], assignments=assignments, **choices)


def parts_of(plugins: Plugins, folder: Path, backbone: Any, **choices: Any) -> Parts:
    config = config_of(plugins, folder, **choices)
    adapter = built(config.adapter)
    attach(config.adapter, adapter, backbone)
    return build_parts(config.step, backbone, adapter)


def fault_of(call: Callable[[], Any], kind: type[SpfError] = SpfError) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


LOSS = "loss 'mine' of plugin 'my-package' 1.2"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (None, "returns None, which lacks __call__"),
        ("a loss", "returns a str, which lacks __call__"),
        (RuntimeError("no licence file"), "cannot be built: RuntimeError: no licence file"),
        (KeyboardInterrupt(), "cannot be built: KeyboardInterrupt"),
        (SystemExit(0), "cannot be built: SystemExit: 0"),
        (ConfigError("set mine.path"), "cannot be built: set mine.path"),
        (LossConfig, "returns the class LossConfig; return an instance"),
        (lambda: 0, "cannot be called with (state)"),
    ],
)
def test_what_cannot_be_built_is_named_before_a_row_is_read(
    tiny_folder: Path, tmp_path: Path, part: object, words: str
) -> None:
    plugins = with_plugin(LossConfig, part)
    config = config_of(plugins, tiny_folder, overrides={"data": str(noise_folder(tmp_path))})
    stages: list[str] = []
    message = fault_of(
        lambda: train(
            config, tmp_path / "run", plugins, progress=lambda stage, *_, **__: stages.append(stage)
        ),
        PluginError,
    )
    assert LOSS in message
    assert words in message
    assert stages == []
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_a_component_without_build_is_named(tiny_folder: Path) -> None:
    class Mine(LossConfig):
        """A component of somebody else."""

        name = "mine"

    plugins = load_plugins()
    plugins.add(Mine, "my-package", "1.2")
    assert f"{LOSS} has no build()" in fault_of(lambda: built(config_of(plugins, tiny_folder).losses["mine"]))


def test_targets_that_match_nothing_are_named_before_a_row_is_read(
    plugins: Plugins, tiny_folder: Path, tmp_path: Path
) -> None:
    assignments = [f"backbone.path={tiny_folder}", "adapter.targets=[to_qq]"]
    overrides = {"data": str(noise_folder(tmp_path))}
    config = load_run_config(plugins, preset="lora", assignments=assignments, overrides=overrides)
    stages: list[str] = []
    message = fault_of(
        lambda: train(
            config, tmp_path / "run", plugins, progress=lambda stage, *_, **__: stages.append(stage)
        )
    )
    assert "no layer ends with 'to_qq'" in message
    assert stages == []


def test_an_adapter_that_finds_nothing_to_train_is_named(tiny_backbone: Any) -> None:
    class Empty:
        def attach(self, backbone: Any) -> None: ...
        def parameters(self) -> list[Any]:
            return []

    class Mine(AdapterConfig):
        """Trains nothing."""

        name = "mine"

    plugins = load_plugins()
    plugins.add(Mine, "my-package", "1.2")
    message = fault_of(lambda: attach(Mine(), Empty(), tiny_backbone))  # type: ignore[arg-type]
    assert "adapter 'mine' of plugin 'my-package' 1.2 finds nothing to train" in message


def in_place(state: Any) -> Any:
    state.response.pred_BCHW.mul_(0)
    return state.response.pred_BCHW.mean()


def behind_the_back(state: Any) -> Any:
    state.noised.z_t_BCHW.data.mul_(0)
    return state.response.pred_BCHW.mean()


def a_shared_prediction(state: Any) -> Any:
    return state.predictions.original("base").mul_(0).mean() + state.response.pred_BCHW.mean()


def rebinding(state: Any) -> Any:
    loss = state.response.pred_BCHW.mean()
    object.__setattr__(state, "response", None)
    return loss


def training_itself(state: Any) -> Any:
    with torch.no_grad():
        next(iter(state.adapter.parameters())).add_(1)
    return state.response.pred_BCHW.mean()


def passing_back(state: Any) -> Any:
    state.response.pred_BCHW.mean().backward(retain_graph=True)
    return state.response.pred_BCHW.mean()


class Leaving(torch.autograd.Function):
    """Ends the process in the backward pass."""

    @staticmethod
    def forward(ctx: Any, value: Any) -> Any:
        """The mean."""
        return value.mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Leave."""
        raise SystemExit(0)


def drawing(draw: Callable[[], Any]) -> Part:
    def term(state: Any) -> Any:
        draw()
        return state.response.pred_BCHW.mean()

    return term


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda state: 1.0, "returns 1.0; return a scalar tensor"),
        (lambda state: None, "returns None; return a scalar tensor"),
        (lambda state: state.response.pred_BCHW.flatten(1).mean(1), "of shape [4]; return a scalar"),
        (lambda state: state.response.pred_BCHW.mean().view(1), "of shape [1]; return a scalar"),
        (lambda state: torch.tensor(1), "of torch.int64; return floating-point numbers"),
        (lambda state: torch.empty((), device="meta"), "on meta, and the run computes on cpu"),
        (
            lambda state: 1 / 0,
            "failed in the step: ZeroDivisionError: division by zero. See test_contracts.py",
        ),
        (lambda state: (_ for _ in ()).throw(SystemExit(0)), "failed in the step: SystemExit: 0"),
        (in_place, "changes state.response.pred_BCHW in place"),
        (behind_the_back, "changes state.noised.z_t_BCHW in place"),
        (a_shared_prediction, "changes state.predictions.original('base') in place"),
        (drawing(lambda: torch.rand(1)), "changes the global random state of torch"),
        (drawing(lambda: torch.manual_seed(0)), "changes the global random state of torch"),
        (drawing(random.random), "changes the global random state of random"),
        (drawing(lambda: np.random.rand()), "changes the global random state of numpy"),
        (drawing(lambda: torch.set_grad_enabled(False)), "changes torch's gradient mode"),
        (drawing(lambda: torch.set_default_dtype(torch.float64)), "changes torch's default dtype"),
        (drawing(lambda: os.chdir("/")), "changes the working folder"),
        (rebinding, "changes state.response in place"),
        (training_itself, "changes state.adapter in place"),
        (passing_back, "changes state.adapter's gradients in place"),
    ],
)
def test_a_term_that_breaks_its_contract_is_named_in_the_first_step(
    tiny_folder: Path, tiny_backbone: Any, part: Part, words: str
) -> None:
    plugins = with_plugin(LossConfig, part, frozenset({"original"}))
    parts = parts_of(plugins, tiny_folder, tiny_backbone, overrides={"reference": "adapter-off"})
    message = fault_of(lambda: run(parts), PluginError)
    assert "loss 'mine'" in message
    assert "plugin 'my-package' 1.2" in message
    assert words in message


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts back what the terms of this file change of the process."""
    monkeypatch.chdir(Path.cwd())
    yield
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)


def test_a_term_that_fails_in_the_backward_pass_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    plugins = with_plugin(LossConfig, lambda state: Leaving.apply(state.response.pred_BCHW))
    config = config_of(plugins, tiny_folder, overrides={"data": str(noise_folder(tmp_path))})
    message = fault_of(lambda: train(config, tmp_path / "run", plugins), PluginError)
    assert f"{LOSS} failed in the backward pass: SystemExit: 0. See test_contracts.py" in message


def test_a_term_may_ask_the_original_of_a_model_that_is_trained_whole(
    tiny_folder: Path, tmp_path: Path
) -> None:
    asked = lambda state: (state.predictions.original("base") - state.response.pred_BCHW).square().mean()  # noqa: E731
    plugins = with_plugin(LossConfig, asked, frozenset({"original"}))
    given = {"data": str(noise_folder(tmp_path)), "reference": "adapter-off"}
    config = config_of(plugins, tiny_folder, preset="naive", overrides=given)
    train(config, tmp_path / "run", plugins)


def test_a_term_may_draw_with_the_generator_of_the_state(tiny_folder: Path, tiny_backbone: Any) -> None:
    plugins = with_plugin(
        LossConfig,
        lambda state: state.response.pred_BCHW.mean() * torch.rand((), generator=state.generator),
    )
    run(parts_of(plugins, tiny_folder, tiny_backbone))


@pytest.mark.parametrize(("factor", "warnings"), [(1, 1), (0, 0)])
def test_a_term_without_gradient_is_warned_of_once_unless_it_is_zero(
    tiny_folder: Path, tiny_backbone: Any, caplog: pytest.LogCaptureFixture, factor: int, warnings: int
) -> None:
    plugins = with_plugin(LossConfig, lambda state: factor * state.response.pred_BCHW.detach().mean())
    parts = parts_of(plugins, tiny_folder, tiny_backbone)
    with caplog.at_level(logging.WARNING, "spf"):
        run(parts)
        run(parts)
    assert caplog.text.count(f"{LOSS} has no gradient, so it changes no weight") == warnings


def test_a_run_whose_only_term_has_no_gradient_comes_to_its_end(tiny_folder: Path, tmp_path: Path) -> None:
    plugins = with_plugin(LossConfig, lambda state: state.response.pred_BCHW.detach().mean())
    data = {"data": str(noise_folder(tmp_path))}
    config = config_of(plugins, tiny_folder, "losses.denoising=false", overrides=data)
    train(config, tmp_path / "run", plugins)
    assert (tmp_path / "run" / "adapter.safetensors").is_file()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda state: 1.0, "returns 1.0; return a tensor B 1 H W, here [4, 1, 8, 8]"),
        (lambda state: state.response.pred_BCHW.detach(), "returns shape [4, 4, 8, 8]; return B 1 H W"),
        (
            lambda state: torch.full((4, 1, 8, 8), 1.5),
            "from 1.5 to 1.5; return a map in [0, 1]",
        ),
        (lambda state: torch.full((4, 1, 8, 8), -0.1), "returns values from -0.1 to -0.1"),
        (lambda state: torch.full((4, 1, 8, 8), float("nan")), "returns values from nan to nan"),
        (lambda state: torch.ones((4, 1, 8, 8), dtype=torch.bool), "return floating-point numbers"),
    ],
)
def test_a_map_that_is_none_is_named(tiny_folder: Path, tiny_backbone: Any, part: Part, words: str) -> None:
    plugins = with_plugin(ControlMapConfig, part)
    parts = parts_of(plugins, tiny_folder, tiny_backbone, preset="spf-paper")
    message = fault_of(lambda: run(parts), PluginError)
    assert message.startswith("control-map 'mine' of plugin 'my-package' 1.2 returns ")
    assert words in message


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda backbone, images, prompts: 1.0, "returns 1.0; return a number for each image, here [2]"),
        (lambda backbone, images, prompts: images.mean(), "returns shape []; return a number for each"),
        (lambda backbone, images, prompts: images.sum((1, 2, 3)) > 0, "return floating-point numbers"),
        (lambda backbone, images, prompts: images.sum((1, 2, 3)) * torch.nan, "return finite numbers"),
        (lambda backbone, images, prompts: prompts["first"], "failed in the step: TypeError"),
    ],
)
def test_a_reward_that_is_none_is_named(
    tiny_folder: Path, tiny_backbone: Any, part: Callable[..., Any], words: str
) -> None:
    parts = parts_of(with_plugin(RewardConfig, part), tiny_folder, tiny_backbone, preset="refl")
    message = fault_of(lambda: run(parts), PluginError)
    assert "reward 'mine'" in message
    assert "plugin 'my-package' 1.2" in message
    assert words in message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda output, z_t: output.pred_BCHW, "return a spf_core.interfaces.PathOutput"),
        (
            lambda output, z_t: type(output)(output.pred_BCHW[:1]),
            "predict the shape of z_t, here [4, 4, 8, 8]",
        ),
        (
            lambda output, z_t: type(output)(output.pred_BCHW.clone().requires_grad_()),
            "predicts with gradient",
        ),
        (lambda output, z_t: 1 / 0, "failed in the step: ZeroDivisionError"),
        (lambda output, z_t: (z_t.mul_(2), output)[1], "changes z_t in place, which both paths read"),
        (lambda output, z_t: type(output)(output.pred_BCHW * torch.nan), "predicts NaN or infinity"),
        (lambda output, z_t: (torch.rand(1), output)[1], "changes the global random state of torch"),
    ],
)
def test_a_reference_path_that_breaks_its_contract_is_named(
    tiny_folder: Path, tiny_backbone: Any, answer: Callable[..., Any], words: str
) -> None:
    class Path_:  # noqa: N801
        def run(self, backbone: Any, adapter: Any, noised: Any, base: Any, capture: Any) -> Any:
            with torch.no_grad():
                output = backbone.predict(noised.z_t_BCHW, noised.timesteps_B, base, capture)
            return answer(output, noised.z_t_BCHW)

    parts = parts_of(with_plugin(ReferenceConfig, Path_()), tiny_folder, tiny_backbone, preset="spf-paper")
    message = fault_of(lambda: run(parts), PluginError)
    assert "reference 'mine'" in message
    assert "plugin 'my-package' 1.2" in message
    assert words in message


def test_a_weight_may_exceed_what_float16_holds(tiny_folder: Path, tiny_backbone: Any) -> None:
    plugins = with_plugin(
        LossConfig, lambda state: state.response.pred_BCHW.mean() * 0 + torch.tensor(60000.0).half()
    )
    parts = parts_of(plugins, tiny_folder, tiny_backbone, overrides={"losses": {"mine": {"weight": 2}}})
    _, report = run(parts)
    assert bool(torch.isfinite(report.total))


def test_a_gradient_that_is_no_number_is_traced_to_its_term(tiny_folder: Path, tmp_path: Path) -> None:
    plugins = with_plugin(LossConfig, lambda state: (0 * state.response.pred_BCHW.square()).sum().sqrt())
    config = config_of(plugins, tiny_folder, overrides={"data": str(noise_folder(tmp_path))})
    message = fault_of(lambda: train(config, tmp_path / "run", plugins), NonFiniteError)
    assert message.startswith("gradient of 'mine' became nan in step 1 on ")
    assert message.endswith("report it to its provider, plugin 'my-package' 1.2")


def test_a_prediction_that_is_no_number_is_not_put_down_to_a_term(tiny_folder: Path, tmp_path: Path) -> None:
    class Broken(AdapterConfig):
        """Weights that are not numbers."""

        name = "mine"

        def build(self) -> Any:
            adapter = load_plugins().get("lora-adapter")().build()
            attach_it = adapter.attach

            def broken(backbone: Any) -> None:
                attach_it(backbone)
                for parameter in adapter.parameters():
                    torch.nn.init.constant_(parameter, float("nan"))

            adapter.attach = broken
            return adapter

    plugins = load_plugins()
    plugins.add(Broken, "my-package", "1.2")
    config = config_of(plugins, tiny_folder, overrides={"data": str(noise_folder(tmp_path))})
    message = fault_of(lambda: train(config, tmp_path / "run", plugins), NonFiniteError)
    assert message.startswith("prediction of the denoiser became nan in step 1 on ")
