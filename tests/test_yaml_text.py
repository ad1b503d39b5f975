"""Whatever a YAML file or `--set` holds, the answer is a configuration or a short refusal with its place."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spf_core.config.loading import load_run_config, resolve
from spf_core.config.merging import parse_assignment
from spf_core.errors import ConfigError, printable
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.saved_config import saved_config
from spf_core.utils.yaml_text import dump_yaml, parse_yaml, read_yaml
from spf_lab.benchmark.spec import read_benchmark
from spf_lab.continual.spec import read_continual

OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
READERS: dict[str, Callable[[Path], Any]] = {
    "run": lambda file: load_run_config(load_plugins(), file=file),
    "saved run": lambda file: saved_config(file.parent, load_plugins()),
    "benchmark": read_benchmark,
    "continual": read_continual,
}
HOSTILE_VALUES = {
    "a date that is none": "2001-99-99",
    "a date": "2001-01-01",
    "no digits": "0x_",
    "a tag": "!!int foo",
    "a date's tag": "!!timestamp foo",
    "a boolean's tag": "!!bool maybe",
    "Python's tag": "!!python/object/apply:os.system [true]",
    "binary": "!!binary aGk=",
    "many digits": "9" * 5000,
    "65 bits": str(2**64),
    "many hexadecimal digits": "0x" + "f" * 5000,
    "no number": ".nan",
    "infinity": "1e400",
    "a list": "[1, 2]",
    "a mapping": "{a: 1}",
    "nested": "[" * 100_000,
    "nested and closed": "[" * 5000 + "]" * 5000,
    "nested mappings": "{a: " * 5000 + "1" + "}" * 5000,
    "dashes": "- " * 5000 + "1",
    "a cycle": "&a [*a]",
    "an alias": "*a",
    "long": "x" * 100_000,
    "long and quoted": '"' + "\\u202e" * 20_000 + '"',
    "escapes": '"\\e[31m\\0"',
    "half a character": '"\\ud800"',
    "a colon": "a: b: c",
    "a reserved character": "`x`",
    "a tab": "\tx:\n\t- y",
    "an unknown escape": '"\\q"',
    "no end of the quote": "'x",
    "a key of a list": "{[1]: 2}",
    "a number as a key": "{1: 2}",
    "a key twice": "{a: 1, a: 2}",
    "a directive": "%YAML 9.9",
    "two documents": "1\n--- \n2",
}
HOSTILE_FILES = {
    "empty": b"",
    "a comment": b"# nothing",
    "a byte-order mark": b"\xef\xbb\xbf",
    "UTF-16": "train: {steps: 3}".encode("utf-16"),
    "Latin-1": "data: f\u00fcr".encode("latin-1"),
    "NUL": b"train: \0",
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a key twice": b"train: {steps: 3}\ntrain: {steps: 5}\n",
    "a nested key twice": b"train:\n  steps: 3\n  steps: 5\n",
    "a bomb": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 121)),
    "a merge key": b"<<: {train: {steps: 3}}",
    "a list": b"- train",
    "text": b"train",
    "large": b"data: x\n" + b"# filling\n" * 200_000,
    "a plugin list of numbers": b"plugins: [1, [2]]",
    "an empty preset": b"preset: ''",
    "a loss under another name": b"losses: {denoising: {name: x}}",
    "a long unknown key": b"k" * 100_000 + b": 1",
    "a long unknown loss": b"losses: {" + b"k" * 1000 + b": 3}",
    "a long unknown preset": b"preset: " + b"k" * 100_000,
    "a long unknown option": b"train: {" + b"k" * 1000 + b": 3}",
    "a long unknown column": b"dataset: {columns: {" + b"k" * 1000 + b": a}}",
    "a seed of 65 bits": b"train: {seed: 18446744073709551616}",
    "a list as a component": b"backbone: [mini]",
    "a component's name of a wrong type": b"backbone: {name: {name: mini}}",
}


def refused_shortly(read: Callable[[], object], *places: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read()
    message = str(refusal.value)
    assert "\n" not in message
    assert printable(message) == message
    assert len(message) < 900
    for place in places:
        assert place in message


def outcome(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What was read, and the refusal if there was one."""
    try:
        return read(), None
    except ConfigError as error:
        return None, str(error)


@pytest.mark.parametrize("value", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_a_hostile_value_is_refused_in_one_line(plugins: Plugins, tmp_path: Path, value: str) -> None:
    refused_shortly(lambda: load_run_config(plugins, assignments=[f"train.steps={value}"]), "train.steps")
    file = tmp_path / "run.yaml"
    file.write_text(f"train:\n  steps: {value}\n", encoding="utf-8")
    refused_shortly(lambda: load_run_config(plugins, file=file))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", HOSTILE_FILES.values(), ids=HOSTILE_FILES)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, content: bytes, kind: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    refused_shortly(lambda: READERS[kind](file), "config.yaml")


@pytest.mark.parametrize("value", ["\udcff", "a\0b"], ids=ascii)
def test_a_name_that_no_file_can_hold_is_refused_in_a_flag(plugins: Plugins, value: str) -> None:
    refused_shortly(lambda: load_run_config(plugins, overrides={"data": value}), "data: ", ascii(value))
    refused_shortly(
        lambda: load_run_config(plugins, overrides={"train": {"release": (value,)}}), "train.release"
    )


def test_the_line_of_a_fault_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    for text, line in (
        ("data: x\ntrain: {steps: 3}\ntrain: {}\n", 3),
        ("data: x\n\n\tsteps: 1\n", 3),
        ("data: x\ntrain: !!int 3\n", 2),
        ("data: [\n", 2),
    ):
        file.write_text(text, encoding="utf-8")
        refused_shortly(lambda: read_yaml(file), f"c.yaml', line {line}: ")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for place in (
        tmp_path,
        tmp_path / "pipe",
        tmp_path / ("x" * 300),
        tmp_path / "absent",
        Path("/dev/zero"),
    ):
        refused_shortly(lambda place=place: read_yaml(place), place.name[:40])  # type: ignore[misc]


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbftrain: {steps: 3}")
    assert read_yaml(tmp_path / "c.yaml") == {"train": {"steps": 3}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("True", True),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("-3", -3),
        ("1e-4", 1e-4),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("<<", "<<"),
        ("'3'", "3"),
        ("|\n  a\n  b", "a\nb"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = parse_yaml(text)
    assert (read, type(read)) == (value, type(value))


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.from_regex(
        r"[-+]?[0-9.]{1,6}([eE][-+]?[0-9]{1,3})?|0[xob][0-9a-f_]{1,5}|[0-9]+:[0-9]+", fullmatch=True
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


@OFTEN
@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    read = parse_yaml(dump_yaml(value))
    assert read == value
    assert repr(read) == repr(value)  # 1, 1.0 and True are equal


@OFTEN
@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"%@`#? \n\tx1", max_size=40))
def test_any_text_is_a_configuration_or_refused_with_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    content, refusal = outcome(lambda: read_yaml(file))
    if refusal is None:
        assert isinstance(content, dict)
        json.dumps(content)
    else:
        assert "c.yaml" in refusal
        assert printable(refusal) == refusal


@OFTEN
@given(st.text(max_size=60) | st.builds("{}={}".format, st.text("abc.", max_size=6), st.text(max_size=40)))
def test_any_assignment_is_a_setting_or_refused_with_its_words(text: str) -> None:
    parsed, refusal = outcome(lambda: parse_assignment(text))
    if refusal is None:
        assert len(parsed) == 1
    else:
        assert refusal.startswith("--set ")
        assert printable(refusal) == refusal


def places(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    for key, value in values.items() if isinstance(values, dict) else ():
        found += places(value, (*path, key))
    return found


WHOLE = parse_yaml(load_run_config(load_plugins(), preset="spf").dump())


@OFTEN
@given(st.sampled_from(places(WHOLE)), VALUES | st.integers() | st.floats())
def test_a_changed_configuration_is_valid_or_refused_in_one_line(
    plugins: Plugins, path: tuple[str, ...], value: Any
) -> None:
    changed = inner = copy.deepcopy(WHOLE)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    config, refusal = outcome(lambda: resolve(changed, plugins))
    if refusal is None:
        assert parse_yaml(config.dump()) == config.model_dump(mode="json")
    else:
        assert printable(refusal) == refusal
        assert len(refusal) < 1500
