"""`make bench`: what a training step of the method costs, over plain LoRA; and how fast help appears.

Every term is on (the second stage). Times: the presets take turns in one process, step by step, so that
whatever else the machine does falls on all alike; ratios are medians over the turns. The price of the
enhancement is a mean, as only rows with a low t pay it. Memory: the peak resident set of a fresh process per
preset.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

PRESETS = ("lora", "spf-no-enhancement", "spf")
BATCH = {"mini": 8, "midsize": 2}
LATE = 0.9  # progress at which every term is on
BARS = {"time": 1.7, "memory": 1.15}


def main() -> None:
    """Measure, or act as one of the measuring processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each preset")
    parser.add_argument("--mini", type=Path, help="pipeline folder in place of the packaged weights")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    parser.add_argument("--worker", choices=["times", "memory", "midsize"], help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(WORKERS[arguments.worker](**json.loads(arguments.case))))
    else:
        report = measure(arguments.mini, arguments.repetitions)
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=2), encoding="utf-8")


def measure(mini: Path | None, repetitions: int) -> dict[str, Any]:
    """Run every measurement in processes of its own and print the table."""
    report: dict[str, Any] = {"help_seconds": help_seconds()}
    print(f"spf --help: {report['help_seconds']:.2f} s (bar: 0.4 s)")
    with tempfile.TemporaryDirectory() as folder:
        midsize = Path(folder) / "midsize"
        parameters = worker("midsize", folder=str(midsize))
        models = {"mini": str(mini) if mini else None, "midsize": str(midsize)}
        for model, path in models.items():
            case = {"folder": path, "batch_size": BATCH[model]}
            times = worker("times", repetitions=repetitions, **case)
            memory = {preset: worker("memory", preset=preset, **case) for preset in PRESETS}
            size = (
                f"random, {parameters / 1e6:.0f} M parameters" if model == "midsize" else "embedded portraits"
            )
            print(f"\n{model} ({size}), batch {BATCH[model]}, {repetitions} turns")
            report[model] = summary(times, memory)
    return report


def summary(times: dict[str, list[float]], memory: dict[str, float]) -> dict[str, Any]:
    """Medians, and medians of the ratios within each turn; printed as a table."""
    print(f"{'preset':<20}{'s/step':>9}{'x lora':>8}{'peak MiB':>10}{'x lora':>8}")
    rows: dict[str, Any] = {}
    for preset in PRESETS:
        ratio = statistics.median(own / base for own, base in zip(times[preset], times["lora"], strict=True))
        row = {
            "seconds": statistics.median(times[preset]),
            "time_ratio": ratio,
            "peak_mib": memory[preset],
            "memory_ratio": memory[preset] / memory["lora"],
        }
        print(
            f"{preset:<20}{row['seconds']:>9.3f}{ratio:>8.2f}{row['peak_mib']:>10.0f}{row['memory_ratio']:>8.2f}"
        )
        rows[preset] = row
    live, turns = rows["spf-no-enhancement"], zip(*(times[preset] for preset in PRESETS), strict=True)
    price = statistics.mean((full - without) / base for base, without, full in turns)
    print(
        f"without enhancement: time x{live['time_ratio']:.2f} (bar {BARS['time']}), "
        f"memory x{live['memory_ratio']:.2f} (bar {BARS['memory']})\n"
        f"enhancement, mean: +{price:.2f} lora steps, +{memory['spf'] - memory['spf-no-enhancement']:.0f} MiB"
    )
    rows["enhancement"] = {"time_price": price}
    return rows


def worker(kind: str, **case: Any) -> Any:
    """Run one measurement in a fresh process; this one stays small, as children inherit its peak."""
    command = [sys.executable, __file__, "--worker", kind, "--case", json.dumps(case)]
    quiet = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def step_times(folder: str | None, batch_size: int, repetitions: int) -> dict[str, list[float]]:
    """Seconds of each step, presets taking turns after one warm-up each."""
    steps = {preset: make_step(preset, folder, batch_size) for preset in PRESETS}
    times: dict[str, list[float]] = {preset: [] for preset in PRESETS}
    for turn in range(-1, repetitions):
        for preset, step in steps.items():
            started = time.perf_counter()
            step(turn + 1)
            if turn >= 0:
                times[preset].append(time.perf_counter() - started)
    return times


def peak_memory(folder: str | None, batch_size: int, preset: str) -> float:
    """Peak resident set in MiB after a few steps."""
    step = make_step(preset, folder, batch_size)
    for seed in range(4):
        step(seed)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def make_step(preset: str, folder: str | None, batch_size: int) -> Callable[[int], None]:
    """One optimizer step of a preset on random images, with all its terms on; the seed draws noise and t."""
    import torch
    from runs import write_rows

    from spf_core.cache import encode_rows
    from spf_core.config import load_run_config
    from spf_core.counterfactuals import purify
    from spf_core.data import read_folder
    from spf_core.parts import build_parts
    from spf_core.plugins import load_plugins
    from spf_core.runs import open_backbone
    from spf_core.sections import SampleSection
    from spf_core.step import dual_path_step

    chosen = [f"backbone.path={folder}"] if folder else []
    config = load_run_config(load_plugins(), preset=preset, assignments=chosen)
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    with tempfile.TemporaryDirectory() as data:
        write_rows(Path(data), batch_size, backbone.image_size)
        rows = encode_rows(backbone, read_folder(Path(data)), needs=config.needs)
        if config.counterfactuals.enabled:
            os.environ["SPF_CACHE"] = data
            rows = purify(
                backbone,
                rows,
                config.counterfactuals,
                SampleSection(steps=3),
                seed=0,
                clean_image="clean_image" in config.needs,
            )
    adapter.attach(backbone)
    parts = build_parts(config, backbone, adapter)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=config.optimizer.learning_rate)
    batch = rows.batch(range(batch_size))

    def step(seed: int) -> None:
        report = dual_path_step(parts, batch, LATE, generator=torch.Generator().manual_seed(seed))[1]
        report.total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


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


WORKERS: dict[str, Callable[..., Any]] = {"times": step_times, "memory": peak_memory, "midsize": write_model}

if __name__ == "__main__":
    main()
