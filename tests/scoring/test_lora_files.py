"""LoRA files of other trainers on tiny models: every layer computes what its own rank and alpha say."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import (
    Factors,
    backbone_of,
    check_effect,
    flat,
    keys_of,
    kohya,
    module_of,
    numbered,
    path_in_files,
    random_factors,
    written,
)
from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from spf_core.errors import RunError
from spf_core.export.architecture import architecture_of
from spf_core.utils.prompts import Prompt
from spf_plugins.adapters.files.lora_file import LoraFile
from spf_plugins.backbones.stable_diffusion import StableDiffusion

Changes = dict[str, Tensor]


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def backbone(request: pytest.FixtureRequest) -> StableDiffusion:
    """Attached adapters are taken off again."""
    return backbone_of(
        request.getfixturevalue("tiny_folder" if request.param == "sd15" else "tiny_xl_folder")
    )


@pytest.fixture
def read(backbone: StableDiffusion, tmp_path: Path) -> Iterator[Any]:
    """Write a file and attach it to the backbone for the test."""
    attached = []

    def attach(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> LoraFile:
        adapter = LoraFile(written(tmp_path / "file.safetensors", tensors, metadata))
        adapter.attach(backbone)
        attached.append(adapter)
        return adapter

    yield attach
    for adapter in attached:
        adapter.detach()


def two(backbone: StableDiffusion) -> bool:
    return "text_encoder_2" in backbone.pipeline().components


def differences(factors: Mapping[str, Factors]) -> Changes:
    return {key: each.difference for key, each in factors.items()}


def layouts(backbone: StableDiffusion) -> dict[str, dict[str, Tensor]]:
    """Every style of keys with alphas of the file's own."""
    factors, both = random_factors(backbone), two(backbone)
    clip = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
    original = numbered(backbone)

    def omi(key: str) -> str:
        part, _, layer = key.partition(".")
        return f"{clip[part]}.{layer}" if part in clip else key

    def dotted(key: str) -> str:
        part, _, layer = key.partition(".")
        return f"{flat(f'{part}.', two=both).removesuffix('_')}.{layer}"

    found = {
        "kohya": kohya(factors, lambda key: flat(key, two=both)),
        "kohya, first encoder by number": kohya(factors, lambda key: flat(key, two=True)),
        "kohya, original blocks": kohya(factors, original),
        "lycoris": kohya(factors, lambda key: flat(key, two=both).replace("lora_", "lycoris_", 1)),
        "OneTrainer, dots": kohya(factors, dotted),
        "OneTrainer, unet and clip_l": kohya(factors, omi),
        "diffusers' parts": kohya(factors, lambda key: key),
    }
    peft = {}
    for name, tensor in found["diffusers' parts"].items():
        peft[name.replace("lora_down", "lora_A").replace("lora_up", "lora_B")] = tensor
    found["PEFT's factors with alphas"] = peft
    found["PEFT, wrapped"] = {f"base_model.model.{name}": each for name, each in peft.items()}
    found["PEFT, named adapter"] = {
        name.replace(".weight", ".default.weight"): each for name, each in peft.items()
    }
    return found


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize(
    "layout",
    [
        "kohya",
        "kohya, first encoder by number",
        "kohya, original blocks",
        "lycoris",
        "OneTrainer, dots",
        "OneTrainer, unet and clip_l",
        "diffusers' parts",
        "PEFT's factors with alphas",
        "PEFT, wrapped",
        "PEFT, named adapter",
    ],
)
def test_each_layer_has_its_own_rank_and_alpha(
    layout: str, strength: float, backbone: StableDiffusion, read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = read(layouts(backbone)[layout])
    check_effect(backbone, adapter, differences(random_factors(backbone)), strength)
    assert not caplog.records
    updates = adapter.updates()
    assert {path_in_files(key): update.rank for key, update in updates.items()} == {
        key: len(each.down) for key, each in random_factors(backbone).items()
    }


def test_the_original_code_s_own_keys(backbone: StableDiffusion, read: Any) -> None:
    factors = {key: each for key, each in random_factors(backbone).items() if key.startswith("unet.")}
    name, base = numbered(backbone), architecture_of(backbone)
    read_back = read(kohya(factors, lambda key: f"diffusion_model.{base.original_name(key)}"))
    check_effect(backbone, read_back, differences(factors))
    assert name("unet.conv_in") == "lora_unet_input_blocks_0_0"


def test_files_without_alpha_have_scale_one(backbone: StableDiffusion, read: Any) -> None:
    factors = random_factors(backbone)
    tensors = {}
    for key, each in factors.items():
        tensors[f"{key}.lora_A.weight"], tensors[f"{key}.lora_B.weight"] = each.down, each.up
    wanted = {key: each.up.flatten(1) @ each.down.flatten(1) for key, each in factors.items()}
    check_effect(backbone, read(tensors), wanted)


def test_peft_s_settings_in_the_metadata_give_alphas(backbone: StableDiffusion, read: Any) -> None:
    factors = random_factors(backbone)
    tensors, settings = {}, {}
    for key, each in factors.items():
        tensors[f"{key}.lora_A.weight"], tensors[f"{key}.lora_B.weight"] = each.down, each.up
        part, _, layer = key.partition(".")
        settings[f"{part}.lora_alpha"] = 99.0
        settings.setdefault(f"{part}.alpha_pattern", {})[layer.removeprefix("text_model.")] = each.alpha
    adapter = read(tensors, {"lora_adapter_metadata": json.dumps(settings)})
    check_effect(backbone, adapter, differences(factors))


def test_rank_stabilised_lora(backbone: StableDiffusion, read: Any) -> None:
    key, each = "unet.conv_in", random_factors(backbone)["unet.conv_in"]
    settings = json.dumps({"unet.lora_alpha": 3, "unet.use_rslora": True})
    tensors = {f"{key}.lora_A.weight": each.down, f"{key}.lora_B.weight": each.up}
    wanted = 3 / len(each.down) ** 0.5 * each.up.flatten(1) @ each.down.flatten(1)
    check_effect(backbone, read(tensors, {"lora_adapter_metadata": settings}), {key: wanted})


@pytest.mark.parametrize("prefix", ["unet.", ""])
def test_the_attention_processors_of_old_diffusers(prefix: str, backbone: StableDiffusion, read: Any) -> None:
    factors = {key: each for key, each in random_factors(backbone).items() if ".to_" in key}
    tensors = {}
    for key, each in factors.items():
        name = (
            prefix + key.removeprefix("unet.").replace(".to_", ".processor.to_").removesuffix(".0") + "_lora"
        )
        tensors[f"{name}.down.weight"], tensors[f"{name}.up.weight"] = each.down, each.up
    texts = {key: each for key, each in random_factors(backbone).items() if "q_proj" in key}
    for key, each in texts.items():
        tensors[f"{key}.lora_linear_layer.down.weight"] = each.down
        tensors[f"{key}.lora_linear_layer.up.weight"] = each.up
    wanted = {key: each.up.flatten(1) @ each.down.flatten(1) for key, each in (factors | texts).items()}
    check_effect(backbone, read(tensors), wanted)


def test_matrices_kept_as_convolutions_and_the_other_way_round(backbone: StableDiffusion, read: Any) -> None:
    factors = random_factors(backbone)
    tensors = kohya(factors, lambda key: flat(key, two=two(backbone)))
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensors[name] = tensor[:, :, None, None]
        elif tensor.ndim == 4:
            tensors[name] = tensor.flatten(1)
    check_effect(backbone, read(tensors), differences(factors))


def test_convolutions_with_a_core(backbone: StableDiffusion, read: Any) -> None:
    key, generator = "unet.down_blocks.0.downsamplers.0.conv", torch.Generator().manual_seed(3)
    weight = module_of(backbone, key).weight
    up, down = (
        torch.randn(len(weight), 2, generator=generator),
        torch.randn(3, weight.shape[1], generator=generator),
    )
    mid = torch.randn(2, 3, 3, 3, generator=generator)
    name = flat(key, two=True)
    tensors = {
        f"{name}.lora_up.weight": up[:, :, None, None],
        f"{name}.lora_mid.weight": mid,
        f"{name}.lora_down.weight": down[:, :, None, None],
        f"{name}.alpha": torch.tensor(1.5),
    }
    inner = nn.functional.conv2d(torch.eye(weight.shape[1])[:, :, None, None], down[:, :, None, None])
    wanted = torch.zeros_like(weight)
    for row in range(3):
        for column in range(3):
            wanted[:, :, row, column] = up @ mid[:, :, row, column] @ inner[:, :, 0, 0].T
    check_effect(backbone, read(tensors), {key: 1.5 / 3 * wanted})


DENSE = ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v", "unet.down_blocks.0.resnets.0.conv1")


@pytest.mark.parametrize("by", ["LoHa", "LoKr"])
@pytest.mark.parametrize("core", [False, True])
def test_products_of_matrices_as_peft_computes_them(
    by: str, core: bool, backbone: StableDiffusion, read: Any
) -> None:
    tensors, wanted = {}, {}
    for number, key in enumerate(DENSE):
        rank, alpha = (
            (2 + number if by == "LoHa" else 1),
            1.5 + number,
        )  # LoKr factorises small layers at rank 1
        holder = nn.Sequential(type_like(module_of(backbone, key)))
        common: dict[str, Any] = {"r": rank, "alpha": alpha, "target_modules": ["0"]}
        config = (
            LoHaConfig(**common, use_effective_conv2d=core)
            if by == "LoHa"
            else LoKrConfig(**common, use_effective_conv2d=core, decompose_both=True)
        )
        inject_adapter_in_model(config, holder)
        torch.manual_seed(number)
        for name, parameter in holder.named_parameters():
            if "base_layer" not in name:
                nn.init.normal_(parameter, std=0.5)
                tensors[f"{flat(key, two=True)}.{name.split('.')[1]}"] = parameter.detach().clone()
        tensors[f"{flat(key, two=True)}.alpha"] = torch.tensor(alpha)
        wanted[key] = holder[0].get_delta_weight("default").detach()
    adapter = read(tensors)
    check_effect(backbone, adapter, wanted, 0.7)
    with pytest.raises(RunError, match="more than a plain LoRA"):
        adapter.updates()


def type_like(layer: Any) -> nn.Module:
    """A layer of the same sizes and weight, without the hooks."""
    new: Any
    if isinstance(layer, nn.Linear):
        new = nn.Linear(layer.in_features, layer.out_features)
    else:
        new = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding)
    new.weight.data = layer.weight.data.clone()
    return new


def test_whole_matrices_of_lokr_take_no_scale(backbone: StableDiffusion, read: Any) -> None:
    key, generator = DENSE[0], torch.Generator().manual_seed(5)
    rows, columns = module_of(backbone, key).weight.shape
    first, second = (
        torch.randn(4, 4, generator=generator),
        torch.randn(rows // 4, columns // 4, generator=generator),
    )
    name = flat(key, two=True)
    tensors = {f"{name}.lokr_w1": first, f"{name}.lokr_w2": second, f"{name}.alpha": torch.tensor(1e10)}
    check_effect(backbone, read(tensors), {key: torch.kron(first, second)})


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_dora_as_peft_computes_it(strength: float, backbone: StableDiffusion, read: Any) -> None:
    tensors, wanted = {}, {}
    for number, key in enumerate(DENSE):
        holder = nn.Sequential(type_like(module_of(backbone, key)))
        inject_adapter_in_model(LoraConfig(r=2, lora_alpha=3, target_modules=["0"], use_dora=True), holder)
        torch.manual_seed(number)
        for name, parameter in holder.named_parameters():
            if "base_layer" not in name:
                parameter.data = parameter.data + 0.3 * torch.rand_like(parameter)
                tensors[f"{key}{name.removeprefix('0').replace('.default', '')}"] = parameter.detach().clone()
        tensors[f"{key}.alpha"] = torch.tensor(3.0)
        original = module_of(backbone, key).weight.detach()
        layer: Any = holder[0]
        layer.merge()
        wanted[key] = layer.get_base_layer().weight.detach() - original
    check_effect(backbone, read(tensors), wanted, strength)


@pytest.mark.parametrize("axis", [0, 1])
def test_dora_of_rows_and_of_columns(axis: int, backbone: StableDiffusion, read: Any) -> None:
    factors = {key: each for key, each in random_factors(backbone).items() if key in DENSE}
    tensors, wanted = kohya(factors, lambda key: flat(key, two=True)), {}
    for key, each in factors.items():
        original = module_of(backbone, key).weight.detach()
        changed = original + each.difference.reshape(original.shape)
        others = tuple(dim for dim in range(original.ndim) if dim != axis)
        norm = changed.pow(2).sum(others, keepdim=True).sqrt()
        size = norm * 1.25
        tensors[f"{flat(key, two=True)}.dora_scale"] = size
        wanted[key] = 1.25 * changed - original
    check_effect(backbone, read(tensors), wanted, 0.8)


def test_whole_differences_of_weights_biases_and_norms(backbone: StableDiffusion, read: Any) -> None:
    generator = torch.Generator().manual_seed(9)
    norm, group = "unet.mid_block.attentions.0.transformer_blocks.0.norm2", "unet.mid_block.resnets.0.norm1"
    linear = "unet.time_embedding.linear_1"
    ends = {linear: ("diff", "diff_b"), norm: ("w_norm", "b_norm"), group: ("w_norm", "b_norm")}
    tensors, wanted, biases = {}, {}, {}
    for key, (weight, bias) in ends.items():
        layer = module_of(backbone, key)
        wanted[key] = torch.randn(layer.weight.shape, generator=generator)
        biases[key] = torch.randn(layer.bias.shape, generator=generator)
        tensors[f"{flat(key, two=True)}.{weight}"] = wanted[key]
        tensors[f"{flat(key, two=True)}.{bias}"] = biases[key]
    check_effect(backbone, read(tensors), wanted, 0.5, biases)


def test_half_precision_files_are_computed_in_float32(backbone: StableDiffusion, read: Any) -> None:
    factors = {
        key: Factors(each.down.half().float(), each.up.half().float(), each.alpha)
        for key, each in random_factors(backbone).items()
    }
    halves = {name: each.half() for name, each in kohya(factors, lambda key: key).items()}
    check_effect(backbone, read(halves), differences(factors))


def test_one_warning_names_the_keys_that_are_not_read(
    backbone: StableDiffusion, read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    factors = random_factors(backbone)
    tensors = kohya(factors, lambda key: flat(key, two=two(backbone)))
    surplus = {f"bundle_emb.word{number}.string_to_param": torch.ones(1) for number in range(4)}
    with caplog.at_level(logging.WARNING, "spf"):
        adapter = read({**tensors, **surplus, "lora_unet_no_such_layer.alpha": torch.ones(())})
    (record,) = caplog.records
    assert f"5 of {len(tensors) + 5} keys are not read" in record.getMessage()
    assert "'bundle_emb.word0.string_to_param'" in record.getMessage()
    check_effect(backbone, adapter, differences(factors))


def test_an_adapter_taken_off_leaves_the_model_as_it_was(backbone: StableDiffusion, tmp_path: Path) -> None:
    file = written(tmp_path / "file.safetensors", kohya(random_factors(backbone), lambda key: key))
    layer, x = module_of(backbone, DENSE[0]), torch.randn(1, 3, module_of(backbone, DENSE[0]).weight.shape[1])
    before = layer(x)
    adapter = LoraFile(file)
    adapter.attach(backbone)
    assert not torch.equal(layer(x), before)
    adapter.detach()
    assert torch.equal(layer(x), before)
    assert all(not module_of(backbone, key)._forward_hooks for key in keys_of(backbone))


def test_a_model_in_bfloat16_adds_what_one_in_float32_adds(tiny_folder: Path, tmp_path: Path) -> None:
    exact, rounded = StableDiffusion(tiny_folder), StableDiffusion(tiny_folder, dtype=torch.bfloat16)
    file = written(tmp_path / "file.safetensors", kohya(random_factors(exact), lambda key: key))
    changes = []
    for model in (exact, rounded):
        adapter = LoraFile(file)
        adapter.attach(model)
        noise, times = (
            torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2)),
            torch.tensor([500]),
        )
        found = []
        for strength in (0.0, 0.2):
            adapter.scale(strength)
            cond = model.encode_prompts([Prompt("an old man", "wearing a hat")], with_target=True)
            found.append(model.predict(noise, times, cond).pred_BCHW)
        changes.append(found[1] - found[0])
    assert (changes[0] - changes[1]).norm() < 0.2 * changes[0].norm()
