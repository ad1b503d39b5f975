"""A text that no tokenizer takes is a fault of its row, prompt or setting, before a model is loaded."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer

from spf_core.config.sections import DatasetSection
from spf_core.data import check_folder
from spf_core.errors import ConfigError
from spf_core.utils.prompts import Prompt, text_fault
from spf_portraits import __file__ as portraits

MINI = Path(portraits).parent / "weights" / "mini" / "tokenizer" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return Tokenizer.from_file(str(MINI))


@given(
    st.text(st.characters(codec=None, categories=("Cs", "Cc", "Cf", "Co", "Cn", "L", "So", "Zs")), max_size=8)
)
@settings(max_examples=300, deadline=None)
def test_every_text_without_a_fault_is_taken_and_can_be_written(tokenizer: Any, text: str) -> None:
    if text_fault(text) is None:
        tokenizer.encode(text)
        assert json.loads(json.dumps(text, ensure_ascii=False).encode("utf-8")) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a man \ud83d", "half of a character at position 7"),
        ("a man \udc80, red", "at position 7"),
        ("caf\udce9", "a byte that is no UTF-8"),
        ("\ude00\ud83d", "at position 1"),
        ("a\0man", "a NUL character at position 2"),
        ("a man\nred\0", "a NUL character at position 4 of line 2"),
    ],
)
def test_the_fault_says_what_and_where(tokenizer: Any, text: str, words: str) -> None:
    fault = text_fault(text)
    assert fault is not None
    assert words in fault
    for prompt in ((text,), ("a man", text)):
        with pytest.raises(ConfigError, match="which no tokenizer takes"):
            Prompt(*prompt)
    if "\0" not in text:  # of these, only some tokenizers lose what follows
        with pytest.raises(TypeError):
            tokenizer.encode(text)


@pytest.mark.parametrize("bad", ["\ud83d", "\0"])
@pytest.mark.parametrize("key", ["base_text", "target_text", "text"])
def test_a_row_is_named_with_its_line(tmp_path: Path, key: str, bad: str) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "0.png")
    good = {"base_text": "a man", "target_text": "a hat"} if key != "text" else {"text": "a man, a hat"}
    rows = [{"file_name": "0.png", **good}, {"file_name": "0.png", **good, key: f"{good[key]} {bad}"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = check_folder(tmp_path, DatasetSection(trigger="a hat"))
    assert len(report.rows) == 1
    assert "metadata.jsonl:2: " in report.problems[0]
    assert "which no tokenizer takes" in report.problems[0]


def test_a_caption_file_with_nul_characters_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "0.png")
    (tmp_path / "0.txt").write_bytes("a man, a hat".encode("utf-16-le"))
    (problem,) = check_folder(tmp_path, DatasetSection(trigger="a hat")).problems
    assert "0.txt: " in problem


@pytest.mark.parametrize("key", ["base_text", "target_text"])
@pytest.mark.parametrize("bad", ["\\ud83d", "\\0"])
def test_a_validation_prompt_is_named_with_file_and_line(
    spf: Any, tmp_path: Path, key: str, bad: str
) -> None:
    texts = {"base_text": "a man", "target_text": "a hat", key: f"a man {bad}"}
    lines = [f'      {name}: "{text}"' for name, text in texts.items()]
    (tmp_path / "run.yaml").write_text("\n".join(["sample:", "  validation_prompts:", "    -", *lines]))
    failed = spf("train", "--config", tmp_path / "run.yaml", "--data", tmp_path, "--out", tmp_path / "run")
    assert failed.fails_with("run.yaml'", f"line {4 + list(texts).index(key)}", "no tokenizer takes")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "RUN", "--prompt", "BAD", "--out", "x.png"),
        ("sample", "RUN", "--prompt", "a man", "--target", "BAD", "--out", "x.png"),
        ("attention", "RUN", "--prompt", "BAD", "--token", "man", "--out", "x.png"),
        ("attention", "RUN", "--prompt", "a man", "--token", "BAD", "--out", "x.png"),
        ("report", "RUN", "--prompt", "BAD", "--target", "a hat"),
        ("train", "--data", "DATA", "--trigger", "BAD", "--out", "run"),
        ("train", "--data", "DATA", "--set", "dataset.trigger=BAD", "--out", "run"),
        ("data", "check", "DATA", "--trigger", "BAD"),
        ("data", "prepare", "DATA", "--trigger", "a hat", "--trigger", "BAD"),
        ("data", "prepare", "DATA", "--trigger", "a hat", "--target", "BAD"),
        ("data", "prepare", "DATA", "--phrase", "BAD"),
    ],
)
def test_a_text_in_an_argument_is_named_with_its_option(spf: Any, arguments: tuple[str, ...]) -> None:
    failed = spf(*(each.replace("BAD", "caf\udce9") for each in arguments))
    option = next(before for before, each in pairwise(arguments) if "BAD" in each)
    assert failed.fails_with(option, "caf\\udce9", "at position 4", "no tokenizer takes")
