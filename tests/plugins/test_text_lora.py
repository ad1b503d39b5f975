"""A LoRA's part in the text encoders: what is counted, kept on the device, chosen and refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from steps import config_of
from test_text_encoder import TUNED, of
from test_trainer import config_of as run_config

from spf_core.config.sections import TrainSection
from spf_core.errors import ConfigError, RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import open_backbone
from spf_core.training import trainer
from spf_core.training.loop import train
from spf_core.training.resources.memory_estimate import MemoryEstimate, estimate_memory
from spf_core.training.resources.memory_options import save_memory
from spf_core.training.resources.oom import ways_out
from spf_core.training.resources.run_estimate import size_rows
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion

ONCE, TWICE = (f"train.gradient_checkpointing={on}" for on in ("false", "true"))


def test_a_plan_counts_both_text_encoders(tiny_xl_folder: Path) -> None:
    told = []
    for more in ((), (TUNED,)):
        config = of(("sdxl", tiny_xl_folder), *more)
        backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
        adapter.attach(backbone)
        told.append(dict(size_rows(config, backbone, adapter))["trainable parameters"])
    numbers = [int(text.split()[0].replace(",", "")) for text in told]
    texts = sum(2 * 4 * 8 * 2 * width for width in (32, 48))  # layers, projections, rank
    assert numbers[1] - numbers[0] == texts
    assert told[1].endswith(f", {texts:,} of them in text encoders")
    assert told[0].endswith("KiB)")


@pytest.mark.slow
def test_the_memory_of_a_step_counts_what_the_text_encoder_keeps(tiny_folder: Path) -> None:
    def estimated(*more: str) -> MemoryEstimate:
        config = of(("sd15", tiny_folder), *more, preset="lora")
        backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
        adapter.attach(backbone)
        return estimate_memory(config, backbone, adapter, [Prompt("an old man", "wearing a hat")], (32, 32))

    plain, tuned = estimated(ONCE), estimated(TUNED, ONCE)
    assert plain.peak < tuned.peak
    assert estimated(TUNED, TWICE).kept - estimated(TWICE).kept < (tuned.kept - plain.kept) / 2


def test_tuned_text_encoders_stay_on_the_device(
    tiny_backbone: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked: list[bool] = []
    monkeypatch.setattr(tiny_backbone, "offload_text_encoders", lambda: parked.append(True))
    tiny_backbone.device = torch.device("meta")  # any that is no CPU
    save_memory(tiny_backbone, TrainSection(), park=False)
    assert not parked
    save_memory(tiny_backbone, TrainSection())
    assert parked


@pytest.mark.parametrize("more", [(), (TUNED,)])
def test_a_run_parks_text_encoders_that_it_does_not_tune(
    more: tuple[str, ...],
    plugins: Plugins,
    tiny_folder: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parked: list[bool] = []
    monkeypatch.setattr(trainer, "save_memory", lambda *_, park: parked.append(park))
    config = run_config(plugins, tiny_folder, data, *more, preset="lora", steps=1)
    train(config, tmp_path / "run", plugins)
    assert parked == [not more]


def test_memory_that_runs_out_names_them_among_the_ways_out(
    plugins: Plugins, tiny_folder: Path, data: Path
) -> None:
    config = run_config(plugins, tiny_folder, data, TUNED, preset="lora")
    assert "adapter.text_encoder=false" in ways_out(config, config.backbone.build())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ("adapter.text_encoder_rank=4",),
            r"adapter: text_encoder_rank takes effect only with text_encoder=true",
        ),
        (
            ("optimizer.text_encoder_learning_rate=1e-4",),
            "the adapter trains no text encoder; .*text_encoder=true",
        ),
        ((TUNED, "preset_of=purecc"), "'pure-concept' needs text encoders that stay as they are"),
        (("adapter.name=adalora-adapter", TUNED), r"adapter\.text_encoder: unknown option"),
        (("adapter.name=full-unet", TUNED), r"adapter\.text_encoder: unknown option"),
        (
            (
                TUNED,
                "optimizer.name=prodigy",
                "optimizer.learning_rate=1",
                "optimizer.text_encoder_learning_rate=1",
            ),
            "prodigy estimates one step size for all weights",
        ),
    ],
)
def test_what_cannot_be_combined_is_refused_in_one_line(
    settings: tuple[str, ...], message: str, tiny_folder: Path
) -> None:
    preset = "purecc" if "preset_of=purecc" in settings else "lora"
    with pytest.raises(ConfigError, match=message) as caught:
        config_of(
            tiny_folder, *(each for each in settings if not each.startswith("preset_of")), preset=preset
        )
    assert "\n" not in str(caught.value)


def attached(
    model: tuple[str, Path], *settings: str, wrap: Callable[[Any], Any] = lambda backbone: backbone
) -> Any:
    config = of(model, TUNED, *settings, preset="lora")
    adapter = config.adapter.build()
    adapter.attach(wrap(config.backbone.build()))
    return adapter


def test_targets_are_chosen_in_either_encoder_and_one_without_a_layer_is_refused(
    tiny_xl_folder: Path,
) -> None:
    xl = "sdxl", tiny_xl_folder
    only = attached(xl, "adapter.text_encoder_targets=[text_projection]").state_dict()
    assert {name.split(".")[0] for name in only if name.startswith("text_")} == {"text_encoder_2"}
    pattern = "adapter.text_encoder_targets=[text_model.encoder.layers.1.mlp.*]"
    names = {name for name in attached(xl, pattern).state_dict() if name.startswith("text_")}
    layers = [f"{part}.text_model.encoder.layers.1.mlp" for part in ("text_encoder", "text_encoder_2")]
    wanted = {
        f"{layer}.{each}.lora_{factor}.weight"
        for layer in layers
        for each in ("fc1", "fc2")
        for factor in "AB"
    }
    assert names == wanted
    with pytest.raises(
        ConfigError, match=r"no layer of the text encoder ends with 'q_porj'\. Did you mean 'q_proj'"
    ):
        attached(xl, "adapter.text_encoder_targets=[q_porj]")


def test_a_backbone_that_reads_texts_only_once_is_refused(tiny_folder: Path) -> None:
    class Once:
        def __init__(self, backbone: Any) -> None:
            self.denoiser, self.pipeline = backbone.denoiser, backbone.pipeline
            self.attention_sites, self.denoiser_name = backbone.attention_sites, backbone.denoiser_name

    with pytest.raises(
        ConfigError, match=r"adapter\.text_encoder: this backbone's texts are encoded only once"
    ):
        attached(("sd15", tiny_folder), wrap=Once)


def test_a_run_without_the_option_can_still_be_started_from(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    """Its config.yaml may be older than the option."""
    first = tmp_path / "first"
    train(run_config(plugins, tiny_folder, data, preset="lora", steps=1), first, plugins)
    lines = (first / "config.yaml").read_text().splitlines()
    older = [line for line in lines if "text_encoder" not in line and not line.strip().endswith("_proj")]
    assert len(older) < len(lines)
    (first / "config.yaml").write_text("\n".join(older))
    begin = f"train.start_from={first}"
    train(run_config(plugins, tiny_folder, data, begin, preset="lora", steps=1), tmp_path / "second", plugins)
    with pytest.raises(RunError, match=r"has adapter\.text_encoder=False, which is True here"):
        train(
            run_config(plugins, tiny_folder, data, begin, TUNED, preset="lora"), tmp_path / "third", plugins
        )
