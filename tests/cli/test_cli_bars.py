"""Progress: bars on a terminal, a line every tenth elsewhere; tables of results."""

import io

from rich.console import Console

from spf_cli.bars import Bars, Lines, prefixed
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
