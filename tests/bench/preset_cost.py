"""`make bench-presets`: what a step of every preset costs, all its terms on; prints a table for the docs.

All presets train at one batch size and take turns in one process. Peak memory is the resident set of a
process of its own, with what comes before the steps.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs import act, measured_alone, opened, peak_mib, run_step, taking_turns

BATCH, SIZE = 8, 64
SOONER = {"adalora": 0.5}  # while it still shares out its ranks
LATE = 0.81  # progress at which every term counts, and the first step of every preset's last stage


def step_times(presets: list[str], turns: int) -> dict[str, list[float]]:
    """Seconds by preset; each has a training folder of its own."""
    with ExitStack() as stack:
        made = {
            preset: run_step(
                stack.enter_context(opened(BATCH, SIZE, masks=True)), preset, BATCH, SOONER.get(preset, LATE)
            )[0]
            for preset in presets
        }
        return taking_turns(made, turns)


def step_memory(preset: str) -> tuple[float, int]:
    """Peak resident set in MiB of a process that does nothing else, and trained parameters."""
    with opened(BATCH, SIZE, masks=True) as data:
        step, trained = run_step(data, preset, BATCH, SOONER.get(preset, LATE))
        for _ in range(3):
            step()
        return peak_mib(), trained


def compare(turns: int) -> None:
    """Measure every preset and print the table."""
    from spf_core.plugins.discovery import load_plugins

    presets = ["lora", *sorted(set(load_plugins().of_kind("preset")) - {"lora"})]
    times = measured_alone(__file__, "times", presets=presets, turns=turns)
    print(f"batch {BATCH}, {turns} turns, {torch.get_num_threads()} threads")
    print("| preset | s/step | x lora | peak MiB | parameters |\n|---|---|---|---|---|")
    for preset in presets:
        memory, trained = measured_alone(__file__, "memory", preset=preset)
        ratio = statistics.median(a / b for a, b in zip(times[preset], times["lora"], strict=True))
        seconds = statistics.median(times[preset])
        print(f"| `{preset}` | {seconds:.2f} | {ratio:.2f} | {memory:,.0f} | {trained:,} |", flush=True)


def main() -> None:
    """Compare, or act as one of the measuring processes."""
    if act({"times": step_times, "memory": step_memory}, __doc__):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="turns of each preset")
    compare(parser.parse_args().repetitions)


if __name__ == "__main__":
    main()
