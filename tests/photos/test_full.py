"""Judges by outside networks: each can be given and can be missing, and a score without one is called so."""

import json

import pytest

from spf_lab.evaluation.metrics import comparable
from spf_lab.evaluation.readout import result_rows

PARTS = ["appearance", "structure", "layout", "identity", "attributes"]
FULL = ("--set", "photos.judges=full", "--set", "photos.identity.alignment=none")
WEIGHTS = {  # part -> judge's option, name under $SPF_METRICS_HOME
    "target": ("target", "siglip"),
    "attributes": ("attributes", "clip"),
    "structure": ("structure", "dinov2"),
    "layout": ("parser", "face-parsing"),
    "identity": ("identity", "arcface"),
}


@pytest.fixture
def full(evaluate, home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPF_METRICS_HOME", str(home))
    return lambda *more, **settings: evaluate(*FULL, *more, **settings)


@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_with_every_judge_the_set_is_whole_and_each_is_recorded(full, backbone: str) -> None:
    done, found = full(backbone=backbone)
    assert done.code == 0, done.err
    assert found["purity"]["label"] == "photos-full-1"
    assert "mark" not in found["purity"]
    assert sorted(found["parts"]) == sorted(PARTS)
    assert all(found["parts"][part]["value"] is not None for part in PARTS)
    assert found["effect"]["value"] is not None
    assert set(found["judges"]) == {option for option, _ in WEIGHTS.values()}
    for judge in found["judges"].values():
        assert judge["licence"]
        assert all(len(digest) == 64 for digest in judge["sha256"].values())
    assert found["judges_failed"] == {"identity": 0}
    assert "warning: no judge" not in done.err


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_missing_judge_is_named_and_its_part_left_out(evaluate, home, part: str, tmp_path) -> None:
    option, _ = WEIGHTS[part]
    others = [
        piece
        for _, (judge, name) in WEIGHTS.items()
        if judge != option
        for place in [next(home.glob(f"{name}*"))]
        for piece in ("--set", f"photos.{judge}.path={place}")
    ]
    done, found = evaluate(*FULL, *others)
    assert done.code == 0, done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning: no judge")]
    assert line.startswith(f"warning: no judge of {part}: no weights")
    assert f"--set photos.{option}.path=FOLDER" in line
    assert list(found["purity"]["left_out"]) == [part]
    if part == "target":
        assert (found["effect"]["value"], found["sps"]["value"], found["hit_rate"]["value"]) == (None,) * 3
        assert found["calibration"]["tau_ref"] is None
        assert found["spi"]["value"] is not None
        assert found["purity"]["set"] == "photos-full-1"
    else:
        assert sorted(found["parts"]) == sorted(set(PARTS) - {part})
        called = ",".join(each for each in PARTS if each != part)
        assert found["purity"]["mark"] == called
        assert f"spi[{called}]" in done.out
        assert found["sps"]["value"] is not None
    if part == "layout":
        assert found["purity"]["set"].endswith("region by attention")
        assert found["judges"]["region"]["model"] == "the base model's attention"
    if part == "attributes":
        assert (found["leakage"], found["caption_accuracy"]["tuned"]["value"]) == ({}, None)


def test_results_without_attributes_make_a_page(spf, trained, evaluate, home, tmp_path) -> None:
    done, _ = evaluate("--set", "photos.judges=full", "--set", f"photos.parser.path={home / 'face-parsing'}")
    assert done.code == 0, done.err
    page = tmp_path / "page.html"
    made = spf("report", trained["sd15"], "--evaluation", tmp_path / "evaluation", "--out", page)
    assert made.code == 0, made.err
    assert "No judge of attributes" in page.read_text(encoding="utf-8")
    assert "SPI[appearance,layout]" in page.read_text(encoding="utf-8")


def test_scores_of_different_sets_stand_in_rows_of_their_own(full, evaluate, tmp_path) -> None:
    _, whole = full()
    (tmp_path / "evaluation").rename(tmp_path / "whole")
    _, light = evaluate()
    assert not comparable(whole, light)
    rows = {row[0]: row[1:3] for row in result_rows({"whole": whole, "light": light})}
    assert rows["spi"][1] == "-"
    assert rows["spi[light]"][0] == "-"
    other = json.loads(json.dumps(whole))
    assert comparable(whole, other)
    other["judges"]["structure"]["sha256"]["model.safetensors"] = "0" * 64
    assert not comparable(whole, other)


def test_an_unknown_target_lets_attention_find_the_region_and_says_so(full) -> None:
    done, found = full("--target", "holding a trombone")
    assert done.code == 0, done.err
    assert found["target"] == "holding a trombone"
    assert found["purity"]["set"] == "photos-full-1, region by attention"
    assert "region" in found["judges"]


def test_a_siglip_reads_pictures_and_texts_in_lower_case(home) -> None:
    from PIL import Image
    from transformers import SiglipModel

    from spf_lab.metrics.networks.clip import Clip
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    clip = Clip(home / "siglip")
    assert isinstance(clip.model, SiglipModel)
    assert clip.ids(["A Hat"]).tolist() == clip.ids(["a hat"]).tolist()
    assert clip.ids(["a hat"]).shape == (1, 64)
    anywhere: StableDiffusion = type("Anywhere", (), {"device": clip.model.device})()
    seen = clip.images([Image.new("RGB", (40, 30), "red"), Image.new("RGB", (30, 40))], None, anywhere)
    read = clip.texts(["a hat", "red hair"], None, anywhere)
    assert seen.shape == read.shape == (2, 32)
    assert seen.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_damaged_weights_are_refused_before_anything_is_drawn(full, home, tmp_path) -> None:
    damaged = tmp_path / "arcface.safetensors"
    damaged.write_bytes((home / "arcface.safetensors").read_bytes()[:-100])
    done, _ = full("--set", f"photos.identity.path={damaged}")
    done.fails_with("arcface.safetensors")


def test_a_part_that_the_parser_does_not_have_is_refused(full) -> None:
    done, _ = full("--set", "photos.allowed_parts=[hatt]")
    done.fails_with("hatt", "hair")
