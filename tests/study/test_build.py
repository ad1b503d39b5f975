"""What raters get: a page that tells nothing about methods, and a key beside it that tells all."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from studies import METHODS, SIZE, manifest, write_benchmark, write_evaluation, write_evaluations

from spf_core.errors import ConfigError, DataError, RunError
from spf_lab.study.build import build_study
from spf_lab.study.records import fingerprint, read_key
from spf_lab.study.sources import read_sources


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_evaluations(tmp_path_factory.mktemp("evaluations"))


@pytest.fixture(scope="module")
def study(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    build_study(sources, out, forms=3, trials=30, consent="First.\n\nSecond,\nstill.")
    return out


def test_the_page_names_no_method_no_source_and_no_catch(study):
    files = [file for file in (study / "page").rglob("*") if file.is_file()]
    assert {file.name for file in files if file.suffix != ".png"} == {
        "index.html", "manifest.js", "study.css", "study.js"
    }  # fmt: skip
    for file in files:
        content = file.read_bytes().lower()
        for word in ('"spf"', "lora", "naive", "evaluations", "tuned-", "expected", "repeats"):
            assert word.encode() not in content, (file, word)
    shown = manifest(study / "page")
    assert set(shown) == {"study", "size", "dwell_ms", "consent", "exclusion", "forms"}
    for trial in (trial for form in shown["forms"] for trial in form):
        wanted = {"question", "left", "right"} | ({"original"} if "original" in trial["question"] else set())
        assert set(trial) == wanted


def test_pictures_are_named_after_their_pixels_and_carry_nothing_else(study):
    files = list((study / "page" / "images").iterdir())
    assert len(files) > 60
    for file in files:
        with Image.open(file) as image:
            assert (image.info, image.size, image.mode) == ({}, (SIZE, SIZE), "RGB")
            assert file.stem == hashlib.sha256(image.tobytes()).hexdigest()[:16]


def test_the_key_says_whose_pictures_are_shown(study, sources):
    key, forms = read_key(study), manifest(study / "page")["forms"]
    for rows, trials in zip(key.forms, forms, strict=True):
        for row, trial in zip(rows, trials, strict=True):
            for side in ("left", "right"):
                by = getattr(row, side)
                said, _, file = key.pictures[trial[side]].partition(": ")
                assert said == by
                if by in METHODS:
                    with (
                        Image.open(study / "page" / "images" / trial[side]) as one,
                        Image.open(file) as other,
                    ):
                        assert np.array_equal(np.asarray(one), np.asarray(other))
                    assert Path(file).parent.parent == Path(sources[METHODS.index(by)])
            if row.repeats is not None:
                again = trials[row.repeats]
                assert (trial["left"], trial["right"]) == (again["right"], again["left"])


def test_the_manifest_is_bound_to_the_key_by_its_hash(study):
    shown = manifest(study / "page")
    said = shown.pop("study")
    assert said == read_key(study).study == fingerprint(shown)
    shown["exclusion"]["max_wrong"] = 1
    assert fingerprint(shown) != said
    assert shown["consent"] == ["First.", "Second, still."]
    assert shown["dwell_ms"] == 1000


def test_the_same_seed_makes_the_same_study(study, sources, tmp_path):
    build_study(sources, tmp_path / "same", forms=3, trials=30, consent="First.\n\nSecond, still.")
    build_study(sources, tmp_path / "other", forms=3, trials=30, consent="First.\n\nSecond, still.", seed=1)
    assert read_key(tmp_path / "same") == read_key(study)
    assert read_key(tmp_path / "other").forms != read_key(study).forms


def test_a_benchmark_gives_its_presets_targets_and_training_seeds(tmp_path):
    folder = write_benchmark(tmp_path / "benchmark", scenes=20)
    found = read_sources([str(folder)])
    assert (found.methods, len(found.scenes)) == (("spf", "lora"), 40)
    key = build_study([str(folder)], tmp_path / "out", forms=4, trials=20)
    assert {scene.target_text for scene in key.scenes} == {"wearing a hat", "wearing a beard"}
    origins = {origin.split(": ")[0]: [] for origin in key.pictures.values()}
    for origin in key.pictures.values():
        by, file = origin.split(": ")
        origins[by].append(file)
    for preset in ("spf", "lora"):
        for place in ("hat", "beard", "seed-0", "seed-1"):
            assert any(f"/{place}/" in file for file in origins[preset]), (preset, place)
    pages = manifest(tmp_path / "out" / "page")["forms"]
    for rows, trials in zip(key.forms, pages, strict=True):
        for row, trial in zip(rows, trials, strict=True):
            if row.scored:
                seeds = {key.pictures[trial[side]].split("seed-")[1][0] for side in ("left", "right")}
                assert len(seeds) == 1, "both pictures are of one training seed"


def test_methods_may_be_named_and_chosen(sources, tmp_path):
    key = build_study(
        [f"ours={sources[0]}", f"theirs={sources[1]}", sources[2]], tmp_path / "out",
        methods=["theirs", "ours"], forms=1, trials=5,
    )  # fmt: skip
    assert key.methods == ("ours", "theirs")
    with pytest.raises(ConfigError, match=r"no method named 'our'\. Did you mean 'ours'"):
        read_sources([f"ours={sources[0]}", sources[1]], ["our"])


def test_only_prompts_and_noise_that_all_methods_drew_are_shown(tmp_path):
    one = write_evaluation(tmp_path / "one", method="one", scenes=10)
    other = write_evaluation(tmp_path / "other", method="other", scenes=10, first=4)
    found = read_sources([str(one), str(other)])
    assert [scene.noise for scene in found.scenes] == list(range(1004, 1010))
    scene = found.scenes[0]
    assert (scene.original, scene.pictures["other"]) == (
        one / "images" / "original-004.png", (other / "images" / "tuned-000.png",)
    )  # fmt: skip


def edit(place, **change):
    file = Path(place) / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change), encoding="utf-8")


def spoil_text(place, text):
    lines = (place / "pairs.jsonl").read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"base_text": text})
    (place / "pairs.jsonl").write_text("\n".join(lines))


def resize(place):
    file = Path(place) / "images" / "tuned-003.png"
    Image.open(file).resize((30, 30)).save(file)


DAMAGES = {
    r"results\.json' is damaged": lambda at: (at / "results.json").write_text("{"),
    r"results\.json' is damaged: it is nested more than": lambda at: (at / "results.json").write_text(
        "[" * 99_999
    ),
    r"results\.json' is damaged: it holds a number of too many": lambda at: (at / "results.json").write_text(
        "9" * 5000
    ),
    r"results\.json': Input should be": lambda at: (at / "results.json").write_text("[]"),
    r"results\.json': target: Input should be .*got": lambda at: edit(at, target=["x"] * 9999),
    r"results\.json': suite_label: is required": lambda at: (at / "results.json").write_text("{}"),
    r"pairs\.jsonl:1': seed: is required": lambda at: (at / "pairs.jsonl").write_text('{"prompt": 0}'),
    r"pairs\.jsonl:2' is damaged: the text 'a \\ud83d' holds half": lambda at: spoil_text(at, "a \ud83d"),
    r"pairs\.jsonl:2' is damaged: the text 'a \\x00' holds a NUL": lambda at: spoil_text(at, "a \0"),
    r"pairs\.jsonl' does not exist": lambda at: (at / "pairs.jsonl").unlink(),
    r"tuned-002\.png' cannot be decoded": lambda at: (at / "images" / "tuned-002.png").write_bytes(b"no"),
    r"original-002\.png' does not exist": lambda at: (at / "images" / "original-002.png").unlink(),
    r"tuned-003\.png' is 30x30 pixels, others are 24x24": resize,
    "another world: .*circles": lambda at: edit(at, suite_label="circles"),
    "another base model: .*sd15": lambda at: edit(at, model_hash="sd15"),
    "no prompt in common .*same target text": lambda at: edit(at, target_text="with hat"),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_or_foreign_source_is_named_and_nothing_is_written(tmp_path, words):
    sources = write_evaluations(tmp_path / "in", ("lora", "spf"), scenes=8)
    DAMAGES[words](Path(sources[0]))
    with pytest.raises(DataError, match=words):
        build_study(sources, tmp_path / "out", forms=8, trials=8)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_folders_that_cannot_be_compared_are_refused(sources, tmp_path):
    (tmp_path / "empty").mkdir()
    bare = write_evaluation(tmp_path / "bare", scenes=3)
    for picture in (bare / "images").glob("tuned-*"):
        picture.unlink()
    for chosen, words in (
        ([sources[0]], "at least 2 methods, found: spf"),
        ([sources[0], str(tmp_path / "nowhere")], "nowhere' is not a folder"),
        ([sources[0], str(tmp_path / "empty")], "neither results.json nor benchmark.yaml"),
        ([sources[0], str(bare)], "keeps no images; evaluate again with --keep"),
        ([sources[0], sources[0]], "two sources are called 'spf'"),
    ):
        with pytest.raises(DataError, match=words):
            build_study(chosen, tmp_path / "out", trials=5)
    assert not (tmp_path / "out").exists()


def test_a_filled_folder_and_an_empty_consent_are_refused(sources, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        build_study(sources, tmp_path / "out", trials=5)
    with pytest.raises(DataError, match="consent text is empty"):
        build_study(sources, tmp_path / "new", trials=5, consent=" \n")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
