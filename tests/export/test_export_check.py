"""What every client reads of a LoRA file, on the layers of the real Stable Diffusion 1.5 and SDXL."""

import json
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor

from spf_core.errors import RunError
from spf_core.export.architecture import SD15, SDXL, Architecture, published
from spf_core.export.check import Verdict, check_file
from spf_core.export.lora import Lora, kohya_tensors, peft_settings, peft_tensors
from spf_core.export.names import UNET
from spf_core.interfaces import LowRankUpdate

RANK, ALPHA = 2, 1.0
CLIENTS = ["diffusers", "ComfyUI", "Forge", "A1111", "InvokeAI", "sd-scripts"]
EMBEDDING = ("time_embedding_linear_1", "time_embedding_linear_2")
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module", params=[SD15, SDXL])
def base(request: pytest.FixtureRequest) -> Architecture:
    return published(request.param)


@pytest.fixture(scope="module")
def sd15() -> Architecture:
    return published(SD15)


def lora_on(base: Architecture, chosen: Callable[[str], bool]) -> Lora:
    """Zeros of the right shapes for the chosen layers."""
    updates = {}
    for key in filter(chosen, base.layers):
        part, _, layer = key.partition(".")
        model = base.parts[part]
        if part != UNET and not hasattr(model, "text_model"):
            layer = layer.removeprefix("text_model.")
        out, *into = model.get_submodule(layer).weight.shape
        up = torch.zeros(out, RANK, *[1] * (len(into) - 1))
        updates[key] = LowRankUpdate(torch.zeros(RANK, *into), up, ALPHA / RANK)
    return Lora(updates, ALPHA)


def attention(key: str) -> bool:
    return ".attn" in key


def text(key: str) -> bool:
    return not key.startswith("unet.") and "text_projection" not in key


def kohya(base: Architecture, chosen: Callable[[str], bool] = attention) -> Tensors:
    return kohya_tensors(lora_on(base, chosen), torch.float32, two_encoders=base.two_encoders)


def verdicts(tensors: Tensors, base: Architecture, folder: Path, **metadata: str) -> dict[str, Verdict]:
    file = folder / "lora.safetensors"
    save_file(tensors, file, {"ss_base_model_version": str(base.family), **metadata})
    return {verdict.client: verdict for verdict in check_file(file)}


def counts(found: dict[str, Verdict]) -> dict[str, tuple[int, int, int]]:
    return {name: (each.matched, len(each.lost), len(each.wrong)) for name, each in found.items()}


def test_every_client_reads_every_attention_and_text_layer(base: Architecture, tmp_path: Path) -> None:
    tensors = kohya(base, lambda key: attention(key) or text(key))
    layers = {SD15: 16 * 2 * 4 + 12 * 6, SDXL: 70 * 2 * 4 + 12 * 6 + 32 * 6}[str(base.family)]
    assert len(tensors) == 3 * layers
    assert counts(verdicts(tensors, base, tmp_path)) == dict.fromkeys(CLIENTS, (layers, 0, 0))


def test_every_layer_of_stable_diffusion_is_read(sd15: Architecture, tmp_path: Path) -> None:
    found = verdicts(kohya(sd15, lambda key: True), sd15, tmp_path)
    outside = {f"lora_unet_{name}" for name in ("conv_in", "conv_out", *EMBEDDING)}
    assert set(found.pop("sd-scripts").lost) == outside
    assert not any(each.faulty for each in found.values()), counts(found)


def test_forge_applies_nothing_of_a_file_with_more_than_12_strange_keys(
    sd15: Architecture, tmp_path: Path
) -> None:
    few = {f"strange.{number}": torch.zeros(1) for number in range(12)}
    tensors = kohya(sd15)
    found = verdicts({**tensors, **few}, sd15, tmp_path)["Forge"]
    assert (found.matched, len(found.lost)) == (128, 12)
    found = verdicts({**tensors, **few, "strange.12": torch.zeros(1)}, sd15, tmp_path)["Forge"]
    assert (found.matched, len(found.lost)) == (0, 128 + 13)


def test_a1111_takes_the_whole_attention_of_an_open_clip_layer_or_none(tmp_path: Path) -> None:
    """Of transformers' encoder, which is SDXL's first, it takes single layers."""
    base = published(SDXL)
    for part, lost in (("text_encoder", 0), ("text_encoder_2", 1)):
        some = kohya(base, lambda k, part=part: f"{part}." in k and k.endswith("layers.0.self_attn.q_proj"))
        whole = kohya(base, lambda k, part=part: f"{part}." in k and "layers.1.self_attn" in k)
        unet = kohya(base, lambda key: "mid_block" in key and ".attn2." in key)
        found = verdicts({**unet, **some, **whole}, base, tmp_path)["A1111"]
        assert len(found.lost) == lost, found


def test_known_gaps_of_clients_in_sdxl_are_told(tmp_path: Path) -> None:
    """diffusers strips an index of the size embedding's layers; A1111's upsampler rule is that of SD1.5."""
    base = published(SDXL)
    outside = kohya(base, lambda k: k.startswith("unet.") and ("blocks" not in k or "samplers" in k))
    some = kohya(base, lambda key: "mid_block" in key)
    found = verdicts({**outside, **some}, base, tmp_path)
    embeddings = {"lora_unet_add_embedding_linear_1", "lora_unet_add_embedding_linear_2"}
    assert set(found["diffusers"].lost) == embeddings
    assert set(found["A1111"].lost) == embeddings | {"lora_unet_up_blocks_0_upsamplers_0_conv"}
    assert not found["ComfyUI"].faulty
    assert not found["InvokeAI"].faulty


def test_original_block_names_are_understood(base: Architecture, tmp_path: Path) -> None:
    """SDXL files of sd-scripts have them; for Stable Diffusion 1.5 two clients do not know them."""
    tensors = {}
    for name, tensor in kohya(base, lambda key: ".attn2." in key).items():
        stem, dot, end = name.partition(".")
        (key,) = [key for key in base.layers if f"lora_unet_{key[5:].replace('.', '_')}" == stem]
        tensors[f"lora_unet_{base.original_names[key].replace('.', '_')}{dot}{end}"] = tensor
    assert any("input_blocks" in name for name in tensors)
    found = verdicts(tensors, base, tmp_path)
    deaf = {"InvokeAI", "sd-scripts"} if base.family == SD15 else set()
    assert {name for name, each in found.items() if each.faulty} == deaf


def test_a_mixture_of_block_names_is_refused_by_invokeai(tmp_path: Path) -> None:
    base = published(SDXL)
    tensors = kohya(base, lambda key: attention(key) and "down_blocks" in key)
    old = "lora_unet_down_blocks_1_attentions_0_"
    mixed = {name.replace(old, "lora_unet_input_blocks_4_1_"): tensor for name, tensor in tensors.items()}
    found = verdicts(mixed, base, tmp_path)
    assert found["InvokeAI"].matched == 0
    assert not found["ComfyUI"].faulty
    assert not found["A1111"].faulty


def test_pefts_keys_lose_the_attention_outside_diffusers(base: Architecture, tmp_path: Path) -> None:
    unet = lora_on(base, lambda key: key.startswith("unet.") and "embedding" not in key)
    found = verdicts(peft_tensors(unet, torch.float32), base, tmp_path)
    attentions = {SD15: 128, SDXL: 560}[str(base.family)]
    assert not found["diffusers"].faulty
    assert len(found["ComfyUI"].lost) == attentions
    assert all(".to_" in name for name in found["ComfyUI"].lost)
    assert found["A1111"].matched == found["InvokeAI"].matched == 0


def test_a_missing_alpha_is_a_wrong_scale(sd15: Architecture, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in kohya(sd15).items() if not name.endswith(".alpha")}
    found = verdicts(tensors, sd15, tmp_path, ss_network_alpha=f"{ALPHA:g}", ss_network_dim=str(RANK))
    assert all(each.matched == 0 and len(each.wrong) == len(tensors) // 2 for each in found.values())
    silent = verdicts(tensors, sd15, tmp_path)
    assert not any(each.faulty for each in silent.values()), "without any alpha every client takes scale 1"


def test_an_alpha_in_peft_metadata_alone_is_read_by_diffusers_alone(
    sd15: Architecture, tmp_path: Path
) -> None:
    lora = lora_on(sd15, lambda key: key.endswith(("ff.net.2", "proj_in")))
    tensors = peft_tensors(lora, torch.float32)
    settings = peft_settings(lora) | {"unet.lora_alpha": ALPHA}
    found = verdicts(tensors, sd15, tmp_path, lora_adapter_metadata=json.dumps(settings))
    assert not found["diffusers"].faulty
    assert len(found["ComfyUI"].wrong) == len(lora.updates)


@pytest.mark.parametrize(
    "said",
    [
        "x",
        "[]",
        "3",
        "null",
        "[" * 100_000,
        '{"unet.lora_alpha": "x"}',
        '{"unet.alpha_pattern": 3}',
        "9" * 5000,
    ],
    ids=range(8),
)
def test_metadata_that_is_damaged_is_one_line(sd15: Architecture, tmp_path: Path, said: str) -> None:
    lora = lora_on(sd15, lambda key: key.endswith("proj_in"))
    with pytest.raises(RunError, match="damaged metadata") as refusal:
        verdicts(peft_tensors(lora, torch.float32), sd15, tmp_path, lora_adapter_metadata=said)
    assert len(str(refusal.value)) < 400


def test_alphas_that_differ_are_misread_by_diffusers(sd15: Architecture, tmp_path: Path) -> None:
    """Which is why exports have one alpha for all layers."""
    tensors = kohya(sd15)
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
    tensors[f"{name}.alpha"] = torch.tensor(4.0)
    found = verdicts(tensors, sd15, tmp_path)
    assert found["diffusers"].wrong == (name,)
    assert not found["ComfyUI"].faulty


@pytest.mark.parametrize(
    ("broken", "readers"),
    [
        ("lora_unet_down_blocks_9_attentions_0_transformer_blocks_0_attn2_to_k", set()),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", {"diffusers", "ComfyUI", "Forge", "A1111"}),
    ],
    ids=["unknown layer", "SDXL's prefix on SD1.5"],
)
def test_a_layer_under_another_name_is_lost(
    sd15: Architecture, tmp_path: Path, broken: str, readers: set[str]
) -> None:
    tensors = kohya(sd15)
    width = 768  # of both layers' inputs
    tensors[f"{broken}.lora_down.weight"] = torch.zeros(RANK, width)
    tensors[f"{broken}.lora_up.weight"] = torch.zeros(4 * width, RANK)
    tensors[f"{broken}.alpha"] = torch.tensor(ALPHA)
    found = verdicts(tensors, sd15, tmp_path)
    assert {name for name, each in found.items() if broken not in each.lost} == readers


def test_a_layer_of_another_size_is_lost(sd15: Architecture, tmp_path: Path) -> None:
    tensors = kohya(sd15)
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
    tensors[f"{name}.lora_up.weight"] = torch.zeros(7, RANK)
    found = verdicts(tensors, sd15, tmp_path)
    assert all(name in each.lost for each in found.values())


def test_a_stray_key_is_lost_everywhere(sd15: Architecture, tmp_path: Path) -> None:
    found = verdicts({**kohya(sd15), "notes": torch.zeros(1)}, sd15, tmp_path)
    assert all("notes" in each.lost for each in found.values())
    assert found["diffusers"].matched == 0, "diffusers refuses the whole file"


def test_self_attention_alone_is_no_known_base_to_invokeai(sd15: Architecture, tmp_path: Path) -> None:
    found = verdicts(kohya(sd15, lambda key: ".attn1." in key), sd15, tmp_path)
    assert found["InvokeAI"].matched == 0
    assert not found["ComfyUI"].faulty


def test_a_file_that_is_no_lora_is_one_line(sd15: Architecture, tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(RunError, match="holds no LoRA"):
        check_file(file)
    save_file({**kohya(sd15), "lora_unet_conv_in.hada_w1_a": torch.zeros(2)}, file)
    with pytest.raises(RunError, match="hada_w1_a', which is no plain LoRA"):
        check_file(file)
    save_file({"a.lora_down.weight": torch.zeros(2, 3), "a.lora_up.weight": torch.zeros(3, 2)}, file)
    with pytest.raises(RunError, match="neither sd_v1 nor sdxl_base_v1-0"):
        check_file(file)


def test_text_layers_in_peft_keys_load_with_their_settings(base: Architecture) -> None:
    """Names and metadata of both encoders, whether transformers nests `text_model` or not."""
    lora = lora_on(base, lambda key: text(key) and "layers.1." in key)
    pipeline = StableDiffusionXLPipeline if base.two_encoders else StableDiffusionPipeline
    loaded = 0
    for part in ("text_encoder", "text_encoder_2")[: 1 + base.two_encoders]:
        encoder = base.part(part)
        pipeline.load_lora_into_text_encoder(
            peft_tensors(lora, torch.float32),
            network_alphas=None,
            text_encoder=encoder,
            prefix=part,
            adapter_name="spf",
            metadata=peft_settings(lora),
            low_cpu_mem_usage=True,
        )
        loaded += sum(isinstance(module, BaseTunerLayer) for module in encoder.modules())
    assert loaded == len(lora.updates) == 6 * (1 + base.two_encoders)


def test_the_layers_are_those_of_the_published_models() -> None:
    sizes = {
        family: sum(prod(each.shape) for each in published(family).parts[UNET].parameters())
        for family in (SD15, SDXL)
    }
    assert sizes == {SD15: 859_520_964, SDXL: 2_567_463_684}
