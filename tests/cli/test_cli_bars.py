"""Progress: bars on a terminal, a line every tenth elsewhere; tables of results."""

import io

import pytest
from rich.console import Console

from spf.bars import Bars, Lines, prefixed
from spf_core.utils.progress import PlannedStage, announce
from spf_lab.evaluation.readout import interval, result_rows


def test_lines_come_every_tenth() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=200))
    for done in range(1, 201):
        lines("training", done, 200, loss=0.5)
    shown = out.getvalue().splitlines()
    assert [line.split()[1] for line in shown] == [f"{done}/200" for done in range(20, 201, 20)]
    assert all("loss 0.5" in line for line in shown)


def test_a_resumed_stage_continues_where_it_was() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=200))
    for done in range(151, 201):
        lines("training", done, 200)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["160/200", "180/200", "200/200"]


def test_bars_name_the_stage_the_values_and_the_count() -> None:
    out = io.StringIO()
    with Bars(Console(file=out, width=120, force_terminal=True)) as bars:
        prefixed(bars, "spf")("training", 1, 4, denoising=0.25)
        prefixed(bars, "spf")("training", 4, 4, denoising=0.125)
    shown = out.getvalue()
    for words in ("spf: training", "4/4", "denoising 0.125"):
        assert words in shown


def test_a_plan_numbers_the_stages_and_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    out = io.StringIO()
    lines = Lines(Console(file=out, width=200))
    plan = [PlannedStage("drawing", 4, "images", 10), PlannedStage("training", 100, "steps", 5)]
    announce(prefixed(lines, "spf"), plan)
    prefixed(lines, "spf")("drawing", 0, 4)
    for done in (1, 2, 3, 4):  # a unit takes a minute
        now[0] += 60
        prefixed(lines, "spf")("drawing", done, 4)
    prefixed(lines, "spf")("training", 0, 100)
    assert out.getvalue().splitlines() == [
        "stage 1 of 2: spf: drawing 0/4",
        "stage 1 of 2: spf: drawing 1/4  0:03:00 left, about 0:53:00 in all",
        "stage 1 of 2: spf: drawing 2/4  0:02:00 left, about 0:52:00 in all",
        "stage 1 of 2: spf: drawing 3/4  0:01:00 left, about 0:51:00 in all",
        "stage 1 of 2: spf: drawing 4/4  about 0:50:00 in all",
        "stage 2 of 2: spf: training 0/100  0:50:00 left, about 0:50:00 in all",
    ]


def test_a_bar_of_a_stage_that_comes_in_parts_counts_them_together() -> None:
    out = io.StringIO()
    with Bars(Console(file=out, width=120, force_terminal=True)) as bars:
        announce(bars, [PlannedStage("encoding", 5, "images"), PlannedStage("training", 9, "steps", 5)])
        for done, total in ((0, 3), (3, 3), (0, 2), (2, 2)):  # two buckets
            bars("encoding", done, total)
        bars("training", 1, 9)
        bars("training", 2, 9)
    for words in ("stage 1 of 2: encoding", "5/5", "stage 2 of 2: training", "left in all"):
        assert words in out.getvalue()


def test_intervals_and_missing_values_are_readable() -> None:
    assert interval({"value": 91.234, "ci": [85.06, 95.0]}) == "91.2 [85.1, 95.0]"
    assert interval({"value": 0.034, "ci": [None, 0.5]}) == "0.03 [-, 0.50]"
    assert interval({"value": None, "ci": [None, None]}) == "-"
    assert interval(None) == "-"


def test_the_table_has_a_column_for_each_run() -> None:
    run = {"sps": {"value": 1, "ci": [0, 2]}, "parts": {"layout": {"value": 0.5, "ci": [0.4, 0.6]}}}
    rows = result_rows({"naive": run, "spf": run})
    assert rows[0][:3] == ("sps", "1.00 [0.00, 2.00]", "1.00 [0.00, 2.00]")
    assert any(row[:2] == ("  layout", "0.50 [0.40, 0.60]") for row in rows)
