"""A CLIP tokenizer: byte-level BPE with `</w>`, learnt on the world's captions and common English."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from spf_portraits.pretrain.recipe import TEXT_LENGTH
from spf_portraits.pretrain.words import COMMON_WORDS

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 4_000


def train_merges(texts: Iterable[str], merges: int = MERGES) -> list[tuple[str, str]]:
    """BPE merges over lower-cased letters-only words, most frequent first."""
    splitter = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = splitter.normalizer
    learner.pre_tokenizer = splitter.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + merges,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(alphabet),
        min_frequency=1,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]


def build_vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """CLIP's order: every byte, every byte at a word's end, the merges, start, end. Every text tokenises."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(char + "</w>" for char in alphabet), *(a + b for a, b in merges), START, END]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}


def train_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """The tokenizer that `StableDiffusionPipeline` expects, padded with `<|endoftext|>` as in SD1.5."""
    merges = train_merges([*captions, *COMMON_WORDS.split()])
    return CLIPTokenizer(
        vocab=build_vocabulary(merges), merges=merges, model_max_length=TEXT_LENGTH, pad_token=END
    )


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Save `tokenizer.json` and also `vocab.json` and `merges.txt`, which other tools read."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
