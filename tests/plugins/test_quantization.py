"""A base model in 8 or 4 bits: what it predicts, what trains on it, and exports that are not rounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from steps import PROMPTS, batch_of
from test_trainer import noise_folder

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError, RunError
from spf_core.interfaces import Backbone
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.cache import made_by
from spf_core.runs.run import open_backbone, open_run
from spf_core.training.loop import train
from spf_core.training.resources.memory_estimate import estimate_memory
from spf_core.utils.fake_tensors import rounded

pytest.importorskip("bitsandbytes")

FOLDERS = {"sd15": "tiny_folder", "sdxl": "tiny_xl_folder", "sd3": "tiny_sd3_folder"}
FARTHEST = {
    "int8": 0.02,
    "nf4": 0.25,
}  # of predictions, relative; random weights are harder than trained ones
SIZE = 32, 32


def quantized(
    folder: Path, quantize: str, *settings: str, kind: str = "sd15", preset: str = "lora"
) -> RunConfig:
    chosen = [f"backbone.name={kind}", f"backbone.path={folder}", f"backbone.quantize={quantize}"]
    plain = ["backbone.dtype=float32", "train.precision=no", "train.batch_size=4"]
    return load_run_config(load_plugins(), preset=preset, assignments=[*chosen, *plain, *settings])


def opened(folder: Path, quantize: str, kind: str = "sd15") -> Backbone:
    return open_backbone(quantized(folder, quantize, kind=kind).backbone, "cpu")


@torch.no_grad()
def predicted(backbone: Backbone) -> torch.Tensor:
    shape = backbone.latent_shape(32, 32)
    z_t = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    cond = backbone.encode_prompts(PROMPTS, with_target=True)
    return backbone.predict(z_t, backbone.noise.at(0.5, 4), cond).pred_BCHW


@pytest.mark.parametrize("kind", FOLDERS)
def test_predictions_stay_close(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(FOLDERS[kind])
    plain = predicted(opened(folder, "none", kind))
    far = {
        quantize: float((predicted(opened(folder, quantize, kind)) - plain).norm() / plain.norm())
        for quantize in FARTHEST
    }
    assert all(0 < far[quantize] < most for quantize, most in FARTHEST.items()), far
    assert far["int8"] < far["nf4"]


@pytest.mark.parametrize(
    ("quantize", "preset", "settings"),
    [
        ("nf4", "spf-paper", ()),
        ("int8", "adalora", ()),
        ("nf4", "lora", ("adapter.dora=true",)),
        ("int8", "lora", ("adapter.dora=true",)),
        pytest.param("int8", "spf-paper", (), marks=pytest.mark.slow),
        pytest.param("nf4", "adalora", (), marks=pytest.mark.slow),
    ],
)
def test_adapters_train_on_it_in_float32(
    quantize: str, preset: str, settings: tuple[str, ...], tiny_folder: Path
) -> None:
    config = quantized(tiny_folder, quantize, *settings, preset=preset)
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    if settings and quantize == "int8":
        with pytest.raises(ConfigError, match=r"adapter\.dora .* does not unpack from int8"):
            adapter.attach(backbone)
        return
    original = predicted(backbone)
    adapter.attach(backbone)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    tuned = predicted(backbone)
    with adapter.disabled():
        assert torch.equal(predicted(backbone), original), "the reference path is the quantised base"
    assert not torch.equal(tuned, original)
    parts = build_parts(config.step, backbone, adapter)
    dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0))[
        1
    ].total.backward()
    gradients = [parameter.grad for parameter in adapter.parameters()]
    assert all(parameter.dtype == torch.float32 for parameter in adapter.parameters())
    assert sum(float(grad.abs().sum()) for grad in gradients if grad is not None) > 0


def test_a_cache_keeps_it_apart_and_a_hash_names_the_weights_it_was_made_of(tiny_folder: Path) -> None:
    plain, packed = opened(tiny_folder, "none"), opened(tiny_folder, "nf4")
    assert plain.fingerprint() == packed.fingerprint()
    assert made_by(plain) != made_by(packed)


@pytest.fixture(scope="module")
def finished(tiny_folder: Path, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantised")
    data = folder / "data"
    data.mkdir()
    short = ("train.steps=2", "train.batch_size=2", "sample.every=0", "sample.steps=2", "train.device=cpu")
    config = quantized(tiny_folder, "nf4", f"data={noise_folder(data)}", "sample.precision=no", *short)
    train(config, folder / "run", plugins)
    return folder / "run"


def test_a_merge_goes_into_the_weights_as_published(
    finished: Path, plugins: Plugins, tiny_folder: Path, spf: Any, tmp_path: Path
) -> None:
    from diffusers import UNet2DConditionModel

    assert open_run(finished, plugins, device="cpu").backbone.quantized == "nf4"  # type: ignore[attr-defined]
    out = tmp_path / "merged"
    done = spf("export", finished, "--format", "diffusers", "--merge", "--out", out)
    assert done.code == 0, done.err
    written = UNet2DConditionModel.from_pretrained(out / "unet").state_dict()
    published = UNet2DConditionModel.from_pretrained(tiny_folder / "unet").state_dict()
    adapted = {name for name in published if not torch.equal(written[name].float(), published[name].float())}
    assert adapted
    assert all(
        name.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight"))
        for name in adapted
    )
    assert max(float((written[name] - published[name]).abs().max()) for name in adapted) < 1e-2, "not rounded"


def test_merging_into_packed_weights_is_refused(finished: Path, plugins: Plugins) -> None:
    with pytest.raises(
        RunError, match=r"quantised; merge into one that is opened with backbone\.quantize=none"
    ):
        open_run(finished, plugins, device="cpu").adapter.merged()  # type: ignore[attr-defined]


def test_a_run_goes_on_and_is_sampled(finished: Path, spf: Any, tmp_path: Path) -> None:
    longer = spf("train", "--resume", "--out", finished, "--steps", 3)
    assert longer.code == 0, longer.err
    drawn = ("--prompt", "a man", "--target", "wearing a hat", "--out", tmp_path / "a.png", "--steps", 2)
    assert spf("sample", finished, *drawn).code == 0


def test_other_adapters_are_refused_before_the_model_is_loaded(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"backbone\.quantize packs weights that the adapter 'full-unet'"):
        quantized(tiny_folder, "nf4", preset="naive")


def real_bytes(backbone: Backbone) -> int:
    """What the denoiser's tensors take, with what bitsandbytes keeps beside the numbers."""
    sizes: dict[int, int] = {}
    for layer in backbone.denoiser.modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if state := getattr(getattr(layer, "weight", None), "quant_state", None):
            own.append(state.absmax)
        sizes |= {each.data_ptr(): rounded(each.nbytes) for each in own}
    return sum(sizes.values())


@pytest.mark.parametrize("quantize", [pytest.param("int8", marks=pytest.mark.slow), "nf4"])
def test_the_estimate_knows_the_packed_bytes(quantize: str, tiny_folder: Path) -> None:
    config = quantized(tiny_folder, quantize)
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    alone = real_bytes(backbone)
    adapter.attach(backbone)
    packed = estimate_memory(config, backbone, adapter, PROMPTS, SIZE)
    trained = sum(rounded(parameter.nbytes) for parameter in adapter.parameters())
    found = sum(size for (part, _), size in packed.weights.items() if part == "denoiser")
    assert found == pytest.approx(alone + trained, rel=0.01)
    plain, second = opened(tiny_folder, "none"), config.adapter.build()
    second.attach(plain)
    foreseen = estimate_memory(config, plain, second, PROMPTS, SIZE, quantize=quantize)
    assert foreseen.peak == pytest.approx(packed.peak, rel=0.02), "as if it were quantised"
    assert foreseen.peak < estimate_memory(config, plain, second, PROMPTS, SIZE).peak


def test_a_missing_library_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert quantized(tiny_folder, "int8").backbone.build(), "which needs none"
    line = r"backbone\.quantize=nf4 needs bitsandbytes, which is not installed; pip install bitsandbytes"
    with pytest.raises(ConfigError, match=line):
        quantized(tiny_folder, "nf4").backbone.build()


def test_the_library_does_not_speak_to_users_of_the_command_line() -> None:
    """At its import it warns of kernels that a plain run never needs, and PEFT imports it in every run."""
    code = "from spf_cli.app import run; run(['--version']); import bitsandbytes"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
