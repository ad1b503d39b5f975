"""Texts: how base and target join, and where their words stand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spf_core.data import check_folder, read_folder
from spf_core.preparation.caption_augmentation import with_variants
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion

ADDED = Prompt("a young woman, red hair, in the park", "wearing a hat")
REPLACED = Prompt("a young woman, round glasses, in the park", "wearing a hat", replaces="round glasses")


def words(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[first:last] for first, last in spans]


def test_an_added_target_leaves_every_phrase_in_its_place() -> None:
    assert ADDED.complete_text == "a young woman, red hair, in the park, wearing a hat"
    assert ADDED.phrase_spans() == ADDED.phrase_spans(complete=True)
    first, last = ADDED.target_span() or (0, 0)
    assert ADDED.complete_text[first:last] == "wearing a hat"


def test_a_replacing_target_takes_its_phrase_away_and_moves_the_later_ones() -> None:
    assert REPLACED.complete_text == "a young woman, wearing a hat, in the park"
    phrases = ["a young woman", "the park"]
    assert words(REPLACED.base_text, REPLACED.phrase_spans()) == phrases
    assert words(REPLACED.complete_text, REPLACED.phrase_spans(complete=True)) == phrases
    first, last = REPLACED.target_span() or (0, 0)
    assert REPLACED.complete_text[first:last] == "wearing a hat"


def test_both_paths_know_the_same_phrases_of_a_replaced_text(tiny_backbone: StableDiffusion) -> None:
    base, complete = (
        tiny_backbone.encode_prompts([REPLACED], with_target=with_target) for with_target in (False, True)
    )
    assert torch.equal(base.phrase_embeds_BPD, complete.phrase_embeds_BPD)
    assert base.phrase_BPL.shape == complete.phrase_BPL.shape
    assert not torch.equal(base.phrase_BPL, complete.phrase_BPL)
    assert complete.target_BL.any()


def folder(tmp_path: Path, *rows: dict[str, str]) -> Path:
    for number, row in enumerate(rows):
        Image.fromarray(np.full((32, 32, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
        row["file_name"] = f"{number}.png"
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def test_a_folder_says_what_its_target_replaces(tmp_path: Path) -> None:
    path = folder(
        tmp_path,
        {"base_text": "a man, a T-shirt, in the park", "target_text": "a dress", "replaces": "a T-shirt"},
        {"base_text": "a man with red hair", "target_text": "wearing a hat"},
    )
    replaced, added = read_folder(path)
    assert replaced.prompt.complete_text == "a man, a dress, in the park"
    assert added.prompt.complete_text == "a man with red hair, wearing a hat"
    shortened = with_variants([replaced], 20, 0.9, seed=0)
    assert {row.prompt.complete_text for row in shortened} == {
        "a man, a dress",
        "a man, a dress, in the park",
    }


def test_words_to_replace_must_be_there(tmp_path: Path) -> None:
    row = {"base_text": "a man", "target_text": "a dress", "replaces": "a T-shirt"}
    (problem,) = check_folder(folder(tmp_path, row)).problems
    assert "'replaces' \"a T-shirt\" does not occur in base_text 'a man'" in problem


@pytest.mark.parametrize("preset", ["spf-paper", "spf"])
def test_several_targets_train_in_one_run(tmp_path: Path, tiny_folder: Path, preset: str) -> None:
    from spf_core.config.loading import load_run_config
    from spf_core.plugins.discovery import load_plugins
    from spf_core.training.loop import train

    data = tmp_path / "data"
    data.mkdir()
    folder(
        data,
        {"base_text": "a man with round glasses", "target_text": "a hat", "replaces": "round glasses"},
        {"base_text": "a woman with red hair", "target_text": "watercolor style"},
        {"base_text": "an old man in the park", "target_text": "wearing a hat"},
    )
    quick = ["train.steps=2", "train.batch_size=3", "sample.every=0", "sample.steps=2"]
    plugins = load_plugins()
    config = load_run_config(
        plugins, preset=preset, assignments=[f"backbone.path={tiny_folder}", f"data={data}", *quick]
    )
    train(config, tmp_path / "run", plugins)
    assert (tmp_path / "run" / "adapter.safetensors").is_file()
