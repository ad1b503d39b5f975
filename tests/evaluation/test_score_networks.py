"""Every score with an outside network, through its real loading code, on tiny random weights of its class."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import score_models
import torch
from PIL import Image
from squares import Squares, quadruples, scenes

from spf_core.errors import ConfigError, RunError, Unavailable
from spf_core.plugins.discovery import load_plugins
from spf_core.plugins.outside_weights import WeightedScoreConfig, sha256
from spf_lab.evaluation.score_calls import flat
from spf_lab.evaluation.score_options import choose_scores

ALIKE = {"clip-i": 1.0, "dino": 1.0, "id": 1.0, "seg-cons": 100.0, "seg-cons-sam": 100.0, "lpips": 0.0}
DISTANCES = ("fid", "fd-clip", "fd-dino", "fd-id")
WEIGHTED = (*ALIKE, *DISTANCES, "clip-t")
WHOLE = {
    "id": {"alignment": "none"},
    "fd-id": {"alignment": "none"},
    "seg-cons-sam": {"points": 4, "sure": 0.0, "stable": 0.0},  # a random network is sure of nothing
}
PLUGINS = load_plugins()


@pytest.fixture(scope="session")
def home(tmp_path_factory, tiny_folder):
    return score_models.metrics_home(tmp_path_factory.mktemp("metrics"), tiny_folder)


@pytest.fixture(autouse=True)
def metrics_home(home, monkeypatch):
    monkeypatch.setenv("SPF_METRICS_HOME", str(home))


@pytest.fixture(scope="module")
def quads():
    originals = scenes(6, seed=0)
    return flat(
        quadruples(originals, [scene.but(dot=1.0, background="green") for scene in originals], seeds=2)
    )


def built(name, **options):
    return PLUGINS.get(name, "score")(**{**WHOLE.get(name, {}), **options}).build()


def ask(name, quads, backbone, **options):
    with torch.no_grad():
        return built(name, **options)(quads, Squares(), backbone)


@pytest.mark.parametrize("name", ALIKE)
def test_equal_pictures_are_alike_and_others_less(name, quads, loaded_backbone):
    same = ask(name, replace(quads, c=quads.a), loaded_backbone)
    other = ask(name, quads, loaded_backbone)
    for key, column in same.items():
        assert column.values_N.numpy() == pytest.approx(np.full(6, ALIKE[name]), abs=1e-5), key
    gap = (other[""].values_N - ALIKE[name]) * (1 if name == "lpips" else -1)
    assert (gap > 0).all()
    assert other[""].better == ("lower" if name == "lpips" else "higher")


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_sets_are_zero_for_equal_sets_alone(name, quads, loaded_backbone):
    places = torch.arange(6)
    same = ask(name, replace(quads, c=quads.a), loaded_backbone)
    other = ask(name, quads, loaded_backbone)
    assert set(same) == {"", "kid", "displacement"}
    for key in ("", "kid"):
        assert same[key].statistic(places) == pytest.approx(0, abs=1e-6), key
        assert other[key].better == "lower"
    assert same["displacement"].values_N.max() == 0
    assert other[""].statistic(places) > same[""].statistic(places)
    assert "6 pairs" in other[""].note
    assert other["displacement"].values_N.shape == (6,)


def test_clip_t_is_the_raw_cosine_of_the_models_own_embeddings(quads, loaded_backbone, home):
    from transformers import AutoTokenizer, CLIPModel

    model, tokenizer = (
        CLIPModel.from_pretrained(home / "clip").eval(),
        AutoTokenizer.from_pretrained(home / "clip"),
    )
    columns = ask("clip-t", quads, loaded_backbone)
    resized = np.stack([np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)) for image in quads.c])
    pixels = (torch.from_numpy(resized).float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.no_grad():
        images = model.visual_projection(model.vision_model(pixels).pooler_output)
        for key, texts in (
            ("", [item.prompt.complete_text for item in quads.prompts]),
            ("target", ["with a dot"] * 6),
        ):
            ids = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
            embeds = model.text_projection(model.text_model(ids).pooler_output)
            wanted = torch.cosine_similarity(images, embeds)
            assert columns[key].values_N.numpy() == pytest.approx(wanted.numpy(), abs=1e-4), key


def test_the_direction_of_an_unchanged_picture_is_zero(quads, loaded_backbone):
    columns = ask("clip-t", replace(quads, c=quads.a), loaded_backbone)
    assert columns["direction"].values_N.abs().max() == 0


def test_texts_that_are_cut_are_counted(quads, loaded_backbone):
    long = replace(quads.prompts[0], prompt=replace(quads.prompts[0].prompt, base_text="hat " * 100))
    columns = ask("clip-t", replace(quads, prompts=(long, *quads.prompts[1:])), loaded_backbone)
    assert columns[""].note == "1 of 6 texts cut to 77 tokens"


def test_lpips_outside_the_region_overlooks_what_changes_inside(loaded_backbone):
    originals = scenes(2, seed=3)
    inside = flat(quadruples(originals, [scene.but(face="black") for scene in originals]))
    around = flat(quadruples(originals, [scene.but(background="blue", shirt="white") for scene in originals]))
    shares = [
        (columns["out"].values_N / columns[""].values_N).mean()
        for columns in (ask("lpips", quads, loaded_backbone) for quads in (inside, around))
    ]
    assert shares[0] < shares[1]


def test_lpips_reads_the_vgg_trunk_too(tmp_path, quads, loaded_backbone):
    file = score_models.lpips_file(tmp_path / "vgg.safetensors", "vgg")
    columns = ask("lpips", quads, loaded_backbone, network="vgg", path=str(file), size=64)
    assert (columns[""].values_N > 0).all()
    with pytest.raises(RunError, match="shape"):
        built("lpips", network="alex", path=str(file))


def test_lips_and_left_and_right_are_one_class_and_allowed_ones_do_not_count(home):
    from spf_lab.metrics.networks.transformers import Parser

    parser = Parser(home / "face-parsing")
    assert parser.names == ("background", "skin", "eyes", "lips", "hair", "hat")
    assert parser.numbers(("hat", "l_eye")) == {5, 2}
    with pytest.raises(Unavailable, match=r"no class 'beard'.*hair, hat"):
        built("seg-cons", allowed=("beard",))


def test_a_picture_without_a_mask_is_told(quads, loaded_backbone, home):
    from spf_lab.metrics.networks.sam import MaskFinder
    from spf_lab.metrics.scores.masks import MaskConsistency

    never_sure = MaskFinder(home / "sam", points=4, sure=1e9, stable=0.0)
    columns = MaskConsistency(never_sure, {})(quads, Squares(), loaded_backbone)
    assert columns[""].failed == dict.fromkeys(range(6), "no mask in the original picture")
    assert columns[""].values_N.isnan().all()


def test_an_identity_that_the_target_alters_is_not_compared(quads, loaded_backbone):
    class Altering(Squares):
        def changes_identity(self, target):
            return True

    with pytest.raises(Unavailable, match="alters"):
        built("id")(quads, Altering(), loaded_backbone)


class Sees:
    """A detector that finds one face where the suite draws it, none in a picture of one colour."""

    def __call__(self, image):
        from spf_lab.metrics.networks.faces import TEMPLATE_52, Face

        if len(image.getcolors(1024)) == 1:
            return []
        return [
            Face((0.0, 0.0, 2.0, 2.0), TEMPLATE_52 / 14),
            Face((8.0, 6.0, 16.0, 16.0), TEMPLATE_52 / 7 + 8),
        ]


def test_a_pair_without_a_face_is_told_and_the_others_are_compared(home, quads, loaded_backbone):
    from spf_lab.metrics.networks.faces import FaceEmbedder
    from spf_lab.metrics.networks.iresnet import load_iresnet
    from spf_lab.metrics.scores.preservation import Cosine, faces_of

    embedder = FaceEmbedder(load_iresnet(home / "arcface.safetensors"), Sees())
    blank = [Image.new("RGB", (32, 32)), *quads.c[1:]]
    score = Cosine(faces_of(embedder), "cosine", {}, identity=True)
    columns = score(replace(quads, c=blank), Squares(), loaded_backbone)
    assert columns[""].failed == {0: "no face in the judged picture"}
    assert columns[""].values_N.isnan().tolist() == [True, *[False] * 5]
    assert columns["or-0"].values_N[0] == 0
    assert columns["found"].values_N.mean() == pytest.approx(5 / 6)
    with pytest.raises(Unavailable, match="no pair shows a face"):
        score(replace(quads, c=[blank[0]] * 6), Squares(), loaded_backbone)


@pytest.mark.parametrize("name", WEIGHTED)
def test_provenance_names_the_weights_and_their_hash(name, home):
    facts = built(name).provenance
    ((file, digest),) = facts["sha256"].items()
    assert list(home.glob(facts["model"])), "the name alone, not where it lies"
    assert digest in {sha256(path) for path in home.rglob(file)}
    json.dumps(facts)


@pytest.mark.parametrize("name", sorted(n for n, e in PLUGINS.of_kind("score").items() if e.config.weights))
def test_absent_weights_are_told_with_the_way_out(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SPF_METRICS_HOME", str(tmp_path))
    config = PLUGINS.get(name, "score")(**WHOLE.get(name, {}))
    assert isinstance(config, WeightedScoreConfig)
    with pytest.raises(
        Unavailable, match=rf"no weights '{config.weights_name}'.*{name}\.path.*SPF_METRICS_HOME"
    ):
        config.build()
    assert config.missing()
    assert config.licence


def test_the_path_option_wins_over_the_home_and_must_exist(home, tmp_path):
    copy = shutil.copytree(home / "clip", tmp_path / "mine")
    config = PLUGINS.get("clip-i", "score")(path=str(copy))
    assert config.locate().path == copy
    with pytest.raises(Unavailable, match=r"clip-i\.path.*does not exist"):
        PLUGINS.get("clip-i", "score")(path=str(tmp_path / "nowhere")).build()


def test_offline_a_download_is_refused_with_the_models_name(monkeypatch, tmp_path):
    monkeypatch.delenv("SPF_METRICS_HOME")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = PLUGINS.get("dino", "score")(allow_download=True, model="someone/some-dino")
    assert config.missing() is None
    with pytest.raises(Unavailable, match="'someone/some-dino' cannot be had"):
        config.build()


def test_a_snapshot_in_the_hubs_cache_is_used_offline_and_its_commit_recorded(home, monkeypatch, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--some-dino"
    shutil.copytree(home / "dinov2", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.delenv("SPF_METRICS_HOME")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    facts = PLUGINS.get("dino", "score")(allow_download=True, model="someone/some-dino").build().provenance
    assert (facts["model"], facts["revision"]) == ("someone/some-dino", commit)


@pytest.mark.parametrize(("name", "content"), [("clip-i", None), ("lpips", b"not a tensor"), ("id", b"")])
def test_damaged_weights_are_one_line(name, content, tmp_path):
    place = tmp_path / "weights.safetensors"
    if content is None:
        place.mkdir()
        (place / "model.safetensors").write_bytes(b"damaged")
    else:
        place.write_bytes(content)
    with pytest.raises(RunError, match=r"weights\.safetensors") as found:
        built(name, path=str(place))
    assert "\n" not in str(found.value)


def test_pickled_weights_are_not_read(home, tmp_path):
    folder = shutil.copytree(home / "clip", tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Unavailable, match=r"holds no \.safetensors file"):
        built("clip-i", path=str(folder))


def test_scores_are_chosen_by_name_with_their_options():
    chosen = choose_scores(PLUGINS, ["lpips", "clip-i"], ["lpips.network=vgg", "clip-i.path=/models/clip"])
    assert list(chosen) == ["lpips", "clip-i"]
    assert (chosen["lpips"].network, chosen["clip-i"].path) == ("vgg", "/models/clip")
    assert set(choose_scores(PLUGINS, ["all"])) == set(PLUGINS.of_kind("score"))
    assert all(config.weights is None for config in choose_scores(PLUGINS).values())


@pytest.mark.parametrize(
    ("names", "assignments", "message"),
    [
        (["clip"], [], "no score named 'clip'. Did you mean 'clip-i' or 'clip-t'"),
        (["lpips"], ["lpips.net=vgg"], "lpips.net: unknown option 'net'. Did you mean 'network'"),
        (["lpips"], ["clip-i.path=x"], "no chosen score named 'clip-i'"),
        (["lpips"], ["lpisp.path=x"], "no score named 'lpisp'. Did you mean 'lpips'"),
        (["lpips"], ["lpips=vgg"], "expected lpips.OPTION=VALUE"),
    ],
)
def test_a_wrong_name_or_option_is_refused(names, assignments, message):
    with pytest.raises(ConfigError) as found:
        choose_scores(PLUGINS, names, assignments)
    assert message in str(found.value)
