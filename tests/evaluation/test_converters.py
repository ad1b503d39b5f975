"""Published weights, converted: scores then compute what upstream computes; no code in a file is run."""

import json

import numpy as np
import pytest
import score_models
import torch
import upstream
from PIL import Image
from safetensors.torch import load_file, save_file
from squares import Squares, scenes
from torch import nn

from spf_core.errors import ConfigError, RunError
from spf_core.plugins.discovery import load_plugins
from spf_core.plugins.outside_weights import sha256

PLUGINS = load_plugins()
TEXTS = ["an old man with red hair", "a young woman in the park wearing round glasses, hat", "hat"]
PICTURES = [scene.draw() for scene in scenes(3, seed=5)]


def score(name, **options):
    return PLUGINS.get(name, "score")(**options)


@pytest.fixture(scope="module")
def clip_h(tmp_path_factory, tiny_folder):
    """A CLIP folder with the exact GELU, as CLIP-H has it."""
    folder = score_models.clip_folder(tmp_path_factory.mktemp("base") / "clip-h", tiny_folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for tower in ("text_config", "vision_config"):
        config[tower] |= {"hidden_act": "gelu", "intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def clip_pixels(pictures):
    resized = [np.asarray(picture.resize((24, 24), Image.Resampling.BICUBIC)) for picture in pictures]
    return (torch.from_numpy(np.stack(resized)).float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.25


def clip_ids(folder, texts):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids


@pytest.fixture(scope="module")
def open_clip(clip_h):
    from transformers import AutoTokenizer

    torch.manual_seed(6)
    return upstream.randomised(upstream.OpenClip(len(AutoTokenizer.from_pretrained(clip_h))), 6)


@pytest.mark.parametrize("name", ["hps-v2", "hps-v2-1"])
def test_hps_converted_is_open_clips_cosine(name, clip_h, open_clip, loaded_backbone, tmp_path):
    source, out = tmp_path / "HPS_v2_compressed.pt", tmp_path / name
    torch.save({"epoch": 3, "state_dict": open_clip.state_dict()}, source)
    score(name).convert([source], out, clip_h)
    built = score(name, path=str(out)).build()
    with torch.no_grad():
        found = built.score(PICTURES, TEXTS, Squares(), loaded_backbone)
        images = open_clip.visual(clip_pixels(PICTURES))
        wanted = torch.cosine_similarity(images, open_clip.text(clip_ids(clip_h, TEXTS)))
    assert found.numpy() == pytest.approx(wanted.numpy(), abs=1e-5)
    assert np.ptp(wanted.numpy()) > 0.01
    assert built.scale == pytest.approx(float(open_clip.logit_scale.exp()))
    facts = built.provenance
    assert facts["converted_from"] == f"HPS_v2_compressed.pt sha256:{sha256(source)}"
    assert facts["hps_version"] == ("2.0" if name == "hps-v2" else "2.1")


def test_padding_behind_the_end_mark_does_not_matter(clip_h, open_clip):
    ids = clip_ids(clip_h, TEXTS)
    end = ids.argmax(dim=1)
    other = ids.masked_fill(torch.arange(77) > end[:, None], 0)
    with torch.no_grad():
        assert torch.equal(open_clip.text(other), open_clip.text(ids))


def test_pick_score_is_the_scaled_cosine_of_a_plain_clip(clip_h, loaded_backbone):
    from transformers import CLIPModel

    from spf_lab.metrics.networks.clip import unit

    model = CLIPModel.from_pretrained(clip_h).eval()
    built = score("pick-score", path=str(clip_h)).build()
    with torch.no_grad():
        found = built.score(PICTURES, TEXTS, Squares(), loaded_backbone)
        images = unit(model.get_image_features(pixel_values=clip_pixels(PICTURES)))
        texts = unit(model.get_text_features(input_ids=clip_ids(clip_h, TEXTS)))
    wanted = model.logit_scale.exp() * (images * texts).sum(dim=1)
    assert found.numpy() == pytest.approx(wanted.detach().numpy(), abs=1e-4)


@pytest.fixture(scope="module")
def reward_source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward")
    words = sorted({word.strip(",") for text in TEXTS for word in text.split()})
    bert = upstream.bert_folder(folder / "bert", words)
    tensors = upstream.image_reward_tensors(len(words) + 6 + 2)
    torch.save(tensors, folder / "ImageReward.pt")
    return folder / "ImageReward.pt", bert, tensors


def test_image_reward_converted_is_upstreams_reward(reward_source, loaded_backbone, tmp_path):
    from transformers import AutoTokenizer

    source, bert, tensors = reward_source
    score("image-reward").convert([source], tmp_path / "out", bert)
    built = score("image-reward", path=str(tmp_path / "out")).build()
    read = AutoTokenizer.from_pretrained(bert)(
        TEXTS, padding="max_length", max_length=35, return_tensors="pt"
    )
    resized = [np.asarray(picture.resize((16, 16), Image.Resampling.BICUBIC)) for picture in PICTURES]
    pixels = torch.from_numpy(np.stack(resized)).float().permute(0, 3, 1, 2) / 255
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    pixels = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)
    found = built.score(PICTURES, TEXTS, Squares(), loaded_backbone)
    wanted = upstream.image_reward(tensors, pixels, read["input_ids"], read["attention_mask"])
    assert found.numpy() == pytest.approx(wanted.numpy(), rel=1e-4, abs=1e-4)
    one, other = built.score([PICTURES[0], PICTURES[1]], [TEXTS[0]] * 2, Squares(), loaded_backbone)
    assert abs(one - other) > 1e-4, "the reward depends on the picture"


@pytest.fixture(scope="module")
def mps_source(clip_h, tmp_path_factory):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(9)
    clip = upstream.randomised(CLIPModel(CLIPConfig.from_pretrained(clip_h)), 9)
    tensors = upstream.mps_tensors(clip)
    file = tmp_path_factory.mktemp("mps") / "MPS_overall_checkpoint_diffsynth.safetensors"
    save_file(tensors, file)
    return file, clip, tensors


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.9])
def test_mps_converted_is_the_score_of_each_text_alone(
    threshold, clip_h, mps_source, loaded_backbone, tmp_path
):
    from spf_lab.metrics.networks.mps import CONDITION

    file, clip, tensors = mps_source
    score("mps").convert([file], tmp_path / "out", clip_h)
    built = score("mps", path=str(tmp_path / "out"), threshold=threshold).build()
    found = built.score(PICTURES, TEXTS, Squares(), loaded_backbone)
    with torch.no_grad():
        images = clip.visual_projection(clip.vision_model(clip_pixels(PICTURES)).last_hidden_state)
        read = clip.text_model(clip_ids(clip_h, TEXTS))
        words, text = clip.text_projection(read.last_hidden_state), clip.text_projection(read.pooler_output)
        condition_ids = built.score._ids([CONDITION])
        condition = clip.text_projection(clip.text_model(condition_ids).last_hidden_state)[0]
        wanted = [
            upstream.mps(tensors, images[i], words[i], text[i], condition, threshold)
            for i in range(len(TEXTS))
        ]
    assert found.tolist() == pytest.approx([float(each) for each in wanted], rel=1e-3, abs=1e-4)
    alone = built.score(PICTURES[1:2], TEXTS[1:2], Squares(), loaded_backbone)
    assert alone.item() == pytest.approx(found[1].item(), rel=1e-4)
    assert (built.provenance["threshold"], built.provenance["mask"]) == (threshold, "normalised per text")


def test_the_preference_is_the_odds_of_the_scores(clip_h, loaded_backbone):
    from squares import quadruples

    from spf_lab.evaluation.score_calls import flat

    originals = scenes(3, seed=8)
    quads = flat(quadruples(originals, [scene.but(background="blue") for scene in originals]))
    built = score("pick-score", path=str(clip_h)).build()
    with torch.no_grad():
        columns = built(quads, Squares(), loaded_backbone)
        texts = [item.prompt.complete_text for item in quads.prompts]
        of_c, of_a = (built.score(images, texts, Squares(), loaded_backbone) for images in (quads.c, quads.a))
    both = torch.stack([of_c, of_a]).softmax(dim=0)[0]
    assert columns["preference"].values_N.numpy() == pytest.approx(both.numpy(), abs=1e-5)
    assert columns[""].values_N.numpy() == pytest.approx(of_c.numpy())


def test_lpips_converted_from_trunk_and_heads(tmp_path):
    file = score_models.lpips_file(tmp_path / "whole.safetensors")
    weights = load_file(file)
    trunk = {name: value for name, value in weights.items() if name.startswith("features")}
    torch.save({**trunk, "classifier.1.weight": torch.zeros(3)}, tmp_path / "alexnet.pth")
    torch.save({n: v for n, v in weights.items() if n.startswith("lin")}, tmp_path / "alex.pth")
    score("lpips").convert([tmp_path / "alexnet.pth", tmp_path / "alex.pth"], tmp_path / "out", None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    score("lpips", path=str(tmp_path / "out")).build()


@pytest.mark.parametrize(
    ("name", "make"), [("fid", score_models.inception_file), ("id", score_models.arcface_file)]
)
def test_networks_of_own_code_keep_their_tensors(name, make, tmp_path):
    weights = load_file(make(tmp_path / "whole.safetensors"))
    spread = {f"module.{key}": value for key, value in {**weights, "fc.extra": torch.zeros(2)}.items()}
    torch.save(spread, tmp_path / "upstream.pth")
    score(name).convert([tmp_path / "upstream.pth"], tmp_path / "out", None)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert "fc.extra" not in found
    assert all(torch.equal(found[key], weights[key]) for key in found)


def test_a_file_with_a_whole_module_is_refused_and_not_run(tmp_path, clip_h):
    source = tmp_path / "MPS_overall_checkpoint.pth"
    torch.save(nn.Sequential(nn.Linear(2, 2)), source)
    with pytest.raises(RunError, match=r"holds more than tensors.*state_dict\(\)"):
        score("mps").convert([source], tmp_path / "out", clip_h)
    assert not (tmp_path / "out").exists()


def test_another_network_is_refused_by_the_tensor_it_lacks(tmp_path, clip_h):
    save_file({"features.0.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name, base in (("hps-v2", clip_h), ("mps", clip_h), ("id", None), ("fid", None)):
        with pytest.raises(RunError, match=r"other\.safetensors.*tensor"):
            score(name).convert([tmp_path / "other.safetensors"], tmp_path / "out", base)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"--base None: give the folder of laion/CLIP-ViT-H-14"):
        score("hps-v2").convert([tmp_path / "other.safetensors"], tmp_path / "out", None)


def test_image_rewards_tensors_are_checked_too(tmp_path, reward_source):
    _, bert, tensors = reward_source
    some = {name: value for name, value in tensors.items() if "crossattention" not in name}
    torch.save(some, tmp_path / "part.pt")
    with pytest.raises(RunError, match="lacks the tensor"):
        score("image-reward").convert([tmp_path / "part.pt"], tmp_path / "out", bert)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="lacks the tensor"):
        score("image-reward").convert([tmp_path / "x.safetensors"], tmp_path / "out", bert)


def test_files_are_counted(tmp_path):
    with pytest.raises(ConfigError, match=r"1 files are given; give 2: .*heads \(vgg\.pth\)"):
        score("lpips", network="vgg").convert([tmp_path / "vgg16.pth"], tmp_path / "out", None)
