"""The recipe of the base model: what can be checked without training it."""

from pathlib import Path

import torch
from transformers import CLIPModel, CLIPTokenizer

from spf_portraits.judges.networks import Probe
from spf_portraits.pretrain.clip import load_clip
from spf_portraits.pretrain.data import CLASSES
from spf_portraits.pretrain.loop import Trainer, load_trained
from spf_portraits.pretrain.networks import build_unet
from spf_portraits.pretrain.recipe import WEIGHTS, Options
from spf_portraits.pretrain.restore import restore_networks
from spf_portraits.pretrain.text import TextStage, are_words, new_captions


def test_training_goes_on_from_the_shipped_weights(tmp_path: Path) -> None:
    options = Options(cache=tmp_path, resume=True, steps=10)
    restore_networks(options)
    clip, tokenizer = load_clip(options)
    shipped = CLIPModel.from_pretrained(WEIGHTS / "mini" / "clip")
    ids = tokenizer("a portrait of a sad person", return_tensors="pt")["input_ids"]
    torch.testing.assert_close(
        clip.text_model(ids).last_hidden_state, shipped.text_model(ids).last_hidden_state
    )
    trainer = Trainer(build_unet(), options.stage("unet"), options)
    assert trainer.start == 0, "a warm restart runs the whole schedule"
    assert trainer.before > 0, "and remembers the steps before it"


def test_a_restored_judge_is_finished(tmp_path: Path) -> None:
    options = Options(cache=tmp_path, resume=True)
    restore_networks(options)
    metadata = load_trained(Probe(CLASSES), tmp_path, "probe")
    trainer = Trainer(Probe(CLASSES), options.stage("probe"), options)
    assert trainer.run(lambda step, generator: {}) == {}, "no step is left"
    assert load_trained(Probe(CLASSES), tmp_path, "probe") == metadata


def test_new_captions_differ_from_step_to_step_and_repeat_for_a_step() -> None:
    texts, labels, known = new_captions(40, seed=3)
    assert new_captions(40, seed=3)[0] == texts
    assert not set(new_captions(40, seed=4)[0]) & set(texts)
    assert labels.shape == known.shape == (40, len(CLASSES))
    for text, row, said in zip(texts, labels, known, strict=True):
        for name, label, mentioned in zip(CLASSES, row.tolist(), said.tolist(), strict=True):
            if name == "background" and mentioned:
                assert CLASSES[name][label] in text


def test_words_are_read_without_end_mark_and_padding(tmp_path: Path) -> None:
    folder = WEIGHTS / "mini"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    stage = TextStage(CLIPModel.from_pretrained(folder / "clip")).eval()
    ids = tokenizer(["red hair", "a sad person in a blue hoodie"], padding="longest", return_tensors="pt")
    words = are_words(ids["input_ids"], tokenizer)
    assert words.sum(dim=1).tolist() == [2, 7]
    with torch.no_grad():
        states, _ = stage(ids["input_ids"])
        read = stage.reader(states, words)
        states[~words] += 1
        assert torch.equal(stage.reader(states, words), read)
