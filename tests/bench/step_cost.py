"""`make bench`: what a training step of the method costs, over plain LoRA; and how fast help appears.

Every term is on (the second stage). Times: the presets take turns in one process, step by step, so that
whatever else the machine does falls on all alike; they are means, as the enhancement decodes in some steps
alone. Memory: the peak resident set of a fresh process per preset.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs import PACKAGED, Step, act, measured_alone, opened, peak_mib, run_step, taking_turns

PRESETS = ("lora", "spf-no-enhancement", "spf")
BATCH, SIDE = {"mini": 8, "midsize": 2}, {"mini": 64, "midsize": 256}
LATE = 0.81  # progress at which every term is on
BARS = {"time": 1.7, "memory": 1.15}
MEMORY_STEPS = 12


def make(preset: str, model: str, folder: str, data: Path) -> Step:
    """A step of the preset, trained from that folder."""
    return run_step(data, preset, BATCH[model], LATE, f"backbone.path={folder}")[0]


def step_times(model: str, folder: str, turns: int) -> dict[str, list[float]]:
    """Seconds of each step by preset."""
    with ExitStack() as stack:
        steps = {
            preset: make(preset, model, folder, stack.enter_context(opened(BATCH[model], SIDE[model])))
            for preset in PRESETS
        }
        return taking_turns(steps, turns)


def step_memory(model: str, folder: str, preset: str) -> float:
    """Peak resident set in MiB of a process that does nothing else."""
    with opened(BATCH[model], SIDE[model]) as data:
        step = make(preset, model, folder, data)
        for _ in range(MEMORY_STEPS):
            step()
        return peak_mib()


def compare(turns: int) -> dict[str, Any]:
    """Run every measurement in processes of its own and print the tables."""
    report: dict[str, Any] = {"help_seconds": help_seconds()}
    print(f"spf --help: {report['help_seconds']:.2f} s (bar: 0.4 s)")
    with tempfile.TemporaryDirectory() as made:
        parameters = measured_alone(__file__, "midsize", folder=made)
        for model, folder in {"mini": str(PACKAGED), "midsize": made}.items():
            case = {"model": model, "folder": folder}
            times = measured_alone(__file__, "times", turns=turns, **case)
            memory = {name: measured_alone(__file__, "memory", preset=name, **case) for name in PRESETS}
            size = f"random, {parameters / 1e6:.0f} M values" if model == "midsize" else "embedded portraits"
            print(f"\n{model} ({size}), batch {BATCH[model]}, {turns} turns")
            report[model] = summary(times, memory)
    return report


def summary(times: dict[str, list[float]], memory: dict[str, float]) -> dict[str, Any]:
    """Mean seconds, peaks, and their ratios to plain LoRA; printed as a table."""
    print(f"{'preset':<20}{'s/step':>9}{'x lora':>8}{'peak MiB':>10}{'x lora':>8}")
    rows: dict[str, Any] = {}
    for preset in PRESETS:
        rows[preset] = row = {
            "seconds": statistics.mean(times[preset]),
            "time_ratio": sum(times[preset]) / sum(times["lora"]),
            "peak_mib": memory[preset],
            "memory_ratio": memory[preset] / memory["lora"],
        }
        print(
            f"{preset:<20}{row['seconds']:>9.3f}{row['time_ratio']:>8.2f}"
            f"{row['peak_mib']:>10.0f}{row['memory_ratio']:>8.2f}"
        )
    print(f"bars of the method: time x{BARS['time']}, memory x{BARS['memory']}")
    return rows


def help_seconds() -> float:
    """Median wall time of `spf --help`."""
    program = shutil.which("spf", path=str(Path(sys.executable).parent))
    assert program, "spf is installed beside this Python"
    times = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def write_model(folder: str) -> int:
    """Write the mid-size model; returns the parameters of its UNet."""
    from midsize import write_midsize

    return write_midsize(Path(folder))


WORKERS: dict[str, Callable[..., Any]] = {"times": step_times, "memory": step_memory, "midsize": write_model}


def main() -> None:
    """Measure, or act as one of the measuring processes."""
    if act(WORKERS, __doc__):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=18, help="turns of each preset")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    told = parser.parse_args()
    report = compare(told.repetitions)
    if told.out:
        told.out.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
