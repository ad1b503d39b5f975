"""Ctrl-C and SIGTERM end every command with 130 and one line, however often they come and whenever."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spf_core.utils.interrupts import SIGNALS

# A thread sends signals as fast as it can: from the moment that spf listens, or when a file appears.
FLOODED = """
import os, pathlib, signal, sys, threading, time

number, moment = int(sys.argv[1]), sys.argv[2]

def reached():
    if moment == "at once":
        return signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    return pathlib.Path(moment).exists()

def flood():
    while not reached():
        time.sleep(0.001)
    while True:
        os.kill(os.getpid(), number)
        time.sleep(0.001)

threading.Thread(target=flood, daemon=True).start()
from spf_cli.main import main
sys.argv[1:] = sys.argv[3:]
main()
"""
PRESSED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)"
SWALLOWED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    raise SystemError("initialization failed")
"""


def flooded(number: signal.Signals, moment: object, *command: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", FLOODED, int(number), moment, *command]
    return subprocess.run([str(each) for each in arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_without_end_while_a_command_starts(number: signal.Signals) -> None:
    done = flooded(number, "at once", "plugins", "list")
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: interrupted; ")


@pytest.mark.slow
def test_signals_without_end_while_a_run_trains_save_and_say_how_to_continue(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ["train", "--preset", "lora", "--data", data, "--out", run, "--steps", 300, *tiny]
    done = flooded(signal.SIGTERM, run / "metrics.jsonl", *command)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"Continue with: spf train --resume --out {run}")
    assert not list(run.glob("lock-*"))
    (saved,) = (run / "checkpoints").iterdir()
    assert (saved / "state.json").is_file()


@pytest.mark.parametrize("source", [PRESSED, SWALLOWED], ids=["plain", "in an error"])
def test_a_command_that_writes_nothing_says_so(spf, tmp_path: Path, source: str) -> None:
    file = tmp_path / "slow.py"
    file.write_text(source)
    ended = spf("plugins", "list", "--plugin", file)
    assert (ended.code, ended.err.count("\n")) == (130, 1)
    assert "run the same command" in ended.err


def interrupt(*arguments: object, **options: object) -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("spf_core.preparation.rows.encode_rows", ("train", "--data", "{data}", "--out", "{out}")),
        ("spf_lab.evaluation.run.write_results", ("evaluate", "{run}", "--target", "hat", "--out", "{out}")),
        (
            "spf_core.sampling.sampler.comparison_grid",
            ("sample", "{run}", "--prompt", "a man", "--out", "{out}.png"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_interrupted_command_leaves_nothing_behind(
    spf, trained: Path, data: Path, tiny: list[str], tmp_path: Path, monkeypatch, where: str, command
) -> None:
    monkeypatch.setattr(where, interrupt)
    places = {"data": data, "out": tmp_path / "out", "run": trained}
    more = ("--prompts", "2", "--seeds", "1", "--device", "cpu") if command[0] == "evaluate" else ()
    options = (*more, *(tiny if command[0] == "train" else ()))
    ended = spf(*(part.format(**places) for part in command), *options)
    assert ended.code == 130, ended.err
    assert "the same command" in ended.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def trained(spf: Callable, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    command = ["train", "--preset", "lora", "--data", data, "--out", run, "--steps", "1", *tiny]
    assert spf(*command).code == 0
    return run
