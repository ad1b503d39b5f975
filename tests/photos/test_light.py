"""The light set: every photograph run can be evaluated at once, with nothing but its base model."""

import json

import pytest

from spf_lab.evaluation.readout import score_name


@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_a_photo_run_is_evaluated_without_any_weights_from_outside(evaluate, backbone: str) -> None:
    done, found = evaluate(backbone=backbone, prompts=4)
    assert done.code == 0, done.err
    assert (found["suite"], found["target"]) == ("photos", "wearing a hat")
    assert found["purity"]["label"] == "photos-light-1"
    assert set(found["parts"]) == {"appearance", "structure", "attributes"}
    assert found["suite_label"].startswith("photographs, light judges")
    assert found["effect"]["value"] is not None
    assert 0 < found["calibration"]["tau_ref"] < 1
    assert found["judges"]["target"]["calibrated"]
    assert set(found["judges"]) == {"target", "attributes", "structure", "region"}
    assert {each["fingerprint"] for each in found["judges"].values()} == {found["model_hash"]}
    assert "spi[light]" in done.out
    assert score_name(found, "SPI") == "SPI[light]"
    assert score_name(found, "effect") == "effect"


def test_the_report_calls_the_scores_by_their_name(evaluate, spf, trained, tmp_path) -> None:
    done, _ = evaluate()
    assert done.code == 0, done.err
    page = tmp_path / "page.html"
    made = spf("report", trained["sd15"], "--evaluation", tmp_path / "evaluation", "--out", page)
    assert made.code == 0, made.err
    assert "SPI[light]" in page.read_text(encoding="utf-8")


def test_what_the_words_allow_is_recorded_and_can_be_overridden(evaluate) -> None:
    done, found = evaluate(
        "--set", "photos.scope=global", "--set", "photos.allowed_attributes=[headwear,light]"
    )
    assert done.code == 0, done.err
    assert found["target_allowance"]["scope"] == "global"
    assert found["target_allowance"]["allowed_attributes"] == ["headwear", "light"]
    assert found["target_allowance"]["allowed_parts"] == ["ears", "hair", "hat"], "as the words say"
    assert found["parts"]["appearance"]["value"] is None, "a style may change every pixel"
    assert found["parts"]["attributes"]["value"] is not None


def test_ones_own_prompts_are_used_as_they_are(evaluate, tmp_path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a man in the park\n\n  a young woman\n", encoding="utf-8")
    done, found = evaluate(prompts=file)
    assert done.code == 0, done.err
    rows = (tmp_path / "evaluation" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(row)["complete_text"] for row in rows]
    assert texts == ["a man in the park, wearing a hat", "a young woman, wearing a hat"]
    assert (found["n_prompts"], found["split"], found["strata"]) == (2, "own", {})


def test_without_the_training_images_the_label_says_that_the_target_is_uncalibrated(
    evaluate, trained, spf, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few training images are like none."""
    from spf_photos.judges import target

    monkeypatch.setattr(target, "LEAST", 11)
    done, found = evaluate("--target", "a red hat")
    assert done.code == 0, done.err
    assert "target uncalibrated" in found["suite_label"]
    assert found["calibration"]["tau_ref"] == 1
    assert not found["judges"]["target"]["calibrated"]


def test_training_watches_purity_on_photographs(spf, photos, tiny_folder, tmp_path) -> None:
    sets = (
        f"backbone.path={tiny_folder}",
        "train.batch_size=2",
        "train.device=cpu",
        "sample.steps=2",
        "evaluation.every=2",
        "evaluation.prompts=2",
    )
    flags = [part for each in sets for part in ("--set", each)]
    options = ("--preset", "lora", "--backbone", "sd15", "--data", photos, "--steps", 2)
    done = spf("train", *options, *flags, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    (line,) = (tmp_path / "run" / "purity.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["spi"] is not None


def test_the_strength_is_calibrated_by_judges_where_they_are_asked_for(spf, trained) -> None:
    few = ("--prompts", 2, "--seeds", 1, "--strengths", "0.5,1", "--device", "cpu")
    assert "by response" in spf("calibrate", trained["sd15"], *few).out, "nobody recognises the data"
    judged = spf("calibrate", trained["sd15"], *few, "--by", "sps")
    assert "photographs, light judges" in judged.out + judged.err
