"""Files that are no LoRA, or one for another base model: one line that says what they are and what to do."""

from pathlib import Path

import pytest
import torch
from lora_files import backbone_of, flat, kohya, random_factors, written
from torch import Tensor

from spf_core.errors import RunError
from spf_core.export.architecture import SD15, SDXL, published
from spf_core.export.known_names import LayerNames
from spf_plugins.adapters.files.lora_file import LoraFile
from spf_plugins.backbones.stable_diffusion import StableDiffusion


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> StableDiffusion:
    return backbone_of(tiny_folder)


def refused(backbone: StableDiffusion, file: Path) -> str:
    with pytest.raises(RunError) as caught:
        LoraFile(file).attach(backbone)
    (message,) = str(caught.value).splitlines()
    assert file.name in message
    return message


def pair(name: str, width: int) -> dict[str, Tensor]:
    return {f"{name}.lora_down.weight": torch.ones(2, width), f"{name}.lora_up.weight": torch.ones(8, 2)}


CROSS = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (pair(f"lora_unet_{CROSS}", 768), "Stable Diffusion 1.5"),
        (pair(f"lora_unet_{CROSS}", 1024), "Stable Diffusion 2"),
        (pair(f"lora_unet_{CROSS}", 2048), "SDXL"),
        (pair(f"lora_unet_{CROSS}", 77), "reads a width of 77"),
        (pair("lora_unet_double_blocks_0_img_attn_proj", 3072), "FLUX"),
        (pair("transformer.single_transformer_blocks.0.attn.to_q", 3072), "FLUX"),
        (pair("transformer.transformer_blocks.0.attn.add_q_proj", 1536), "Stable Diffusion 3"),
        (pair("lora_unet_input_blocks_8_1_transformer_blocks_9_attn2_to_v", 2048), "SDXL"),
    ],
)
def test_files_for_another_base(
    tensors: dict[str, Tensor], words: str, backbone: StableDiffusion, tmp_path: Path
) -> None:
    message = refused(backbone, written(tmp_path / "other.safetensors", tensors))
    assert "it looks like a file for" in message
    assert words in message
    assert "StableDiffusionPipeline of width 32" in message
    assert "--backbone" in message


def test_the_other_tiny_model_s_file(backbone: StableDiffusion, tiny_xl_folder: Path, tmp_path: Path) -> None:
    factors = random_factors(backbone_of(tiny_xl_folder))
    file = written(tmp_path / "xl.safetensors", kohya(factors, lambda key: flat(key, two=True)))
    assert "has another size than its layer" in refused(backbone, file)


@pytest.mark.parametrize("end", ["ckpt", "pt", "bin"])
def test_formats_that_run_code_are_never_read(end: str, backbone: StableDiffusion, tmp_path: Path) -> None:
    file = tmp_path / f"style.{end}"
    file.write_bytes(b"\x80\x04anything")
    message = refused(backbone, file)
    assert "can run code" in message
    assert ".safetensors" in message


def test_damaged_and_missing_files(backbone: StableDiffusion, tmp_path: Path) -> None:
    file = written(tmp_path / "whole.safetensors", pair(f"lora_unet_{CROSS}", 32))
    content = file.read_bytes()
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(content[: len(content) - 40])
    assert "is damaged" in refused(backbone, torn)
    assert "source" in refused(backbone, torn)
    torn.write_bytes(b"<html>not found</html>" * 20)
    assert "is damaged" in refused(backbone, torn)
    assert "does not exist" in refused(backbone, tmp_path / "none.safetensors")
    nan = {name: each * float("nan") for name, each in pair(f"lora_unet_{CROSS}", 32).items()}
    assert "NaN" in refused(backbone, written(tmp_path / "nan.safetensors", nan))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"emb_params": torch.ones(4, 768)}, "textual-inversion embedding"),
        ({"clip_l": torch.ones(4, 768), "clip_g": torch.ones(4, 1280)}, "textual-inversion embedding"),
        ({"<my-cat>": torch.ones(768)}, "textual-inversion embedding"),
        ({"decoder.conv.weight": torch.ones(3, 3), "decoder.conv.bias": torch.ones(3)}, "holds no LoRA"),
        ({f"lora_unet_{CROSS}.oft_blocks": torch.ones(2, 2, 2)}, "OFT"),
        ({f"lora_unet_{CROSS}.lora_down.weight": torch.ones(2, 32)}, "holds no LoRA"),
    ],
)
def test_files_that_are_no_lora(
    tensors: dict[str, Tensor], words: str, backbone: StableDiffusion, tmp_path: Path
) -> None:
    assert words in refused(backbone, written(tmp_path / "file.safetensors", tensors))


def test_damaged_metadata(backbone: StableDiffusion, tmp_path: Path) -> None:
    tensors = {
        "unet.conv_in.lora_A.weight": torch.ones(1, 4, 3, 3),
        "unet.conv_in.lora_B.weight": torch.ones(16, 1, 1, 1),
    }
    file = written(tmp_path / "file.safetensors", tensors, {"lora_adapter_metadata": "{"})
    assert "damaged metadata" in refused(backbone, file)


def test_backbones_without_a_unet(tiny_sd3_folder: Path, tmp_path: Path) -> None:
    from spf_plugins.backbones.stable_diffusion_3 import StableDiffusion3

    file = written(tmp_path / "file.safetensors", pair(f"lora_unet_{CROSS}", 32))
    assert "--backbone" in refused(StableDiffusion3(tiny_sd3_folder), file)


_BLOCK, _Q = "transformer_blocks", "attn1.to_q"
KNOWN = {  # names as they stand in files of model sites
    SD15: {
        f"lora_unet_input_blocks_1_1_{_BLOCK}_0_attn1_to_q": f"down_blocks.0.attentions.0.{_BLOCK}.0.{_Q}",
        "lora_unet_output_blocks_11_1_proj_out": "up_blocks.3.attentions.2.proj_out",
        f"lora_unet_middle_block_1_{_BLOCK}_0_attn1_to_q": f"mid_block.attentions.0.{_BLOCK}.0.{_Q}",
        "lora_unet_output_blocks_5_2_conv": "up_blocks.1.upsamplers.0.conv",
    },
    SDXL: {
        f"lora_unet_input_blocks_4_1_{_BLOCK}_1_attn1_to_q": f"down_blocks.1.attentions.0.{_BLOCK}.1.{_Q}",
        f"lora_unet_output_blocks_2_1_{_BLOCK}_9_attn1_to_q": f"up_blocks.0.attentions.2.{_BLOCK}.9.{_Q}",
        "unet.output_blocks.2.2.conv": "up_blocks.0.upsamplers.0.conv",
        "lora_unet_label_emb_0_2": "add_embedding.linear_2",
        "lora_unet_input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
        "diffusion_model.input_blocks.7.0.emb_layers.1": "down_blocks.2.resnets.0.time_emb_proj",
    },
}


@pytest.mark.parametrize("family", [SD15, SDXL])
def test_names_of_the_published_models(family: str) -> None:
    base = published(family)
    names = LayerNames(base)
    assert {name: names.find(name) for name in KNOWN[family]} == {
        name: f"unet.{layer}" for name, layer in KNOWN[family].items()
    }
    for key in base.layers:
        part, _, layer = key.partition(".")
        assert names.find(key) == key
        assert names.find(flat(key, two=base.two_encoders)) == key
        if part == "unet":
            assert names.find(f"lora_unet_{base.original_name(key).replace('.', '_')}") == key
            assert names.find(layer) == key
