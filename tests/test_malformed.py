"""Malformed input ends in a line: a sample of what `make test-faults` tries, and the kinds found there."""

import json
import os
from pathlib import Path

import pytest
from fuzzing.calls import call
from fuzzing.campaign import Campaign, machine_of_its_own, report
from fuzzing.specimens import cheap_specimens
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import write_evaluations

from spf_core.errors import RunError
from spf_core.runs.checkpoint import read_safetensors
from spf_core.training.run_log import METRICS_FILE, read_metrics
from spf_core.utils.json_text import DEPTH, NotJsonError, parse_json, read_json, read_json_lines

SAMPLE = 150
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=9,
)
LINE = '{"step": 1, "loss": 0.5, "terms": {"a": {"weighted": 0.5}}, "seconds": 1.0, "peak_memory_mib": 9.5}'


@pytest.mark.slow
def test_a_sample_of_malformed_inputs_ends_in_a_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    with machine_of_its_own(tmp_path_factory.mktemp("machine")):
        specimens = cheap_specimens(tmp_path_factory.mktemp("specimens"))
        campaign = Campaign(specimens, 0, tmp_path_factory.mktemp("inputs"))
        attempts = [campaign.attempt(number) for number in range(SAMPLE)]
    assert {0, 2} <= {attempt.ended.code for attempt in attempts}
    if failed := [attempt for attempt in attempts if attempt.faults]:
        pytest.fail(report(failed, seed=0, tried=SAMPLE), pytrace=False)


@settings(deadline=None)
@given(VALUES)
def test_what_json_can_say_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1, column 1"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"\xff", "byte 1 is not UTF-8"),
        ("[" * 100_000, "nested"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), f"more than {DEPTH} levels"),
        ("9" * 5000, "too many digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' occurs twice"),
        ("[NaN]", "NaN in the place of a number"),
        ("-1e400", "-1e400 in the place of a number"),
        ('["a \\ud83d"]', "'a \\\\ud83d' holds half of a character"),
        ('{"\\u0000": 1}', "holds a NUL character"),
    ],
)
def test_json_that_cannot_be_used_is_refused_with_the_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(NotJsonError, match=reason) as refused:
        parse_json(text)
    assert len(str(refused.value)) < 200


def test_lines_of_json_end_with_a_newline_alone(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "one\u2028line"}\n\n[2]\n', encoding="utf-8")
    assert read_json_lines(file) == [{"text": "one\u2028line"}, [2]]
    file.write_text("1\n2\n{\n", encoding="utf-8")
    with pytest.raises(NotJsonError, match="line 3: it is not JSON"):
        read_json_lines(file)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(RunError, match="not a file"):
        read_safetensors(tmp_path / "pipe")


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"step": 2}', LINE.replace("0.5", '"x"'), "9" * 5000, LINE[:40]]
)
def test_a_damaged_line_of_the_metrics_is_skipped(tmp_path: Path, line: str) -> None:
    (tmp_path / METRICS_FILE).write_text(f"{LINE}\n{line}\n{LINE.replace('1', '3', 1)}\n", encoding="utf-8")
    assert [each["step"] for each in read_metrics(tmp_path)] == [1, 3]


def test_an_endless_message_keeps_its_start_and_its_way_out(tmp_path: Path) -> None:
    ended = call("report", *("x" * 90_000, "y" * 9000))
    assert ended.code == 2
    assert ended.err.startswith("error: Got unexpected extra argument")
    assert ended.err.endswith("shows its usage\n")
    assert len(ended.err) < 1300


@pytest.mark.parametrize("name", ["results.json", "pairs.jsonl"])
def test_a_study_is_not_built_from_a_number_of_thousands_of_digits(tmp_path: Path, name: str) -> None:
    sources = write_evaluations(tmp_path / "in", scenes=3)
    (Path(sources[0]) / name).write_text("9" * 5000, encoding="utf-8")
    ended = call("study", "build", *sources, "--out", str(tmp_path / "out"))
    assert ended.code == 2
    assert "too many digits" in ended.err
    assert not (tmp_path / "out").exists()
