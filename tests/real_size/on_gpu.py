"""`make bench-gpu`: steps of the real models on a GPU, beside what the dry run foresees.

Random weights, one picture a step, every term on, bfloat16; seconds, and peaks of CUDA's allocator in a step
and in what comes before the first one.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

SIDES = {"sd15": 512, "sdxl": 1024}
PRESETS = ("lora", "spf-joint", "spf")
LATE = 0.81  # progress at which every term counts


def options_of(kind: str, model: str, preset: str, checkpointing: bool) -> list[str]:
    """What a run of one picture a step is given."""
    enhanced = [] if preset == "lora" else ["response.max_timestep=1", "response.share=1"]
    return [
        f"backbone={kind}",
        f"backbone.path={model}",
        f"train.gradient_checkpointing={str(checkpointing).lower()}",
        *enhanced,
    ]


def measure(
    kind: str, model: str, preset: str, checkpointing: bool, turns: int, pictures: int
) -> dict[str, Any]:
    """Median seconds of a step, and peaks in MiB of steps (`during`) and of what comes before them."""
    import torch

    from runs import opened, peak_mib, run_step, taking_turns

    options = options_of(kind, model, preset, checkpointing)
    with opened(pictures, SIDES[kind]) as data:
        step, _ = run_step(data, preset, 1, LATE, *options, device="cuda")
        before = peak_mib("cuda")
        torch.cuda.reset_peak_memory_stats()
        seconds = statistics.median(taking_turns({preset: step}, turns, "cuda")[preset])
        return {"seconds": seconds, "before": before, "during": peak_mib("cuda")}


def size_rows(kind: str, model: str, preset: str, checkpointing: bool, pictures: int) -> str:
    """What `spf train --dry-run` says of memory, on the device itself."""
    from runs import CHEAP, opened

    chosen = [*CHEAP, *options_of(kind, model, preset, checkpointing)[1:], "train.batch_size=1"]
    chosen += ["train.precision=bf16", "sample.precision=bf16", "train.device=cuda"]
    program = [sys.executable, "-m", "spf_cli", "train", "--dry-run", "--backbone", kind, "--preset", preset]
    with opened(pictures, SIDES[kind]) as data, tempfile.TemporaryDirectory() as out:
        program += ["--data", str(data), "--out", f"{out}/run", *(f"--set={option}" for option in chosen)]
        wide = {**os.environ, "COLUMNS": "400", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(program, capture_output=True, text=True, check=False, env=wide)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    lines = re.findall(r"^.*?((?:peak memory|memory of a step).*)", done.stdout, re.MULTILINE)
    return "; ".join(" ".join(line.split()) for line in lines)


def main() -> None:
    """Measure every case and print a table, or act as one of the measuring processes."""
    from runs import act, measured_alone

    if act({"measure": measure}, __doc__):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(SIDES), action="append", help="one of them; both if left out")
    parser.add_argument("--preset", choices=PRESETS, action="append", help="one of them; all if left out")
    parser.add_argument("--repetitions", type=int, default=7, help="steps of each case")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="keeps the models; a temporary one if left out")
    told = parser.parse_args()
    print(
        "| model | preset | checkpointing | s/step | a step | before the first | foreseen |\n"
        + "|---" * 7
        + "|"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = told.folder or Path(temporary)
        for kind in told.model or SIDES:
            if not (folder / kind).exists():
                write(kind, folder)
            for preset, checkpointing in product(told.preset or PRESETS, (False, True)):
                case = {"kind": kind, "model": str(folder / kind), "preset": preset}
                case |= {"checkpointing": checkpointing, "pictures": told.pictures}
                found = measured_alone(__file__, "measure", **case, turns=told.repetitions)
                peaks = (f"{found[name] / 1024:.2f} GiB" for name in ("during", "before"))
                row = (f"`{kind}`, {SIDES[kind]} px", f"`{preset}`", "yes" if checkpointing else "no")
                row = (*row, f"{found['seconds']:.2f}", *peaks, size_rows(**case))
                print(f"| {' | '.join(row)} |", flush=True)


def write(kind: str, folder: Path) -> None:
    """The model's folder, below that one."""
    from models import LAYOUTS, write_model

    write_model(LAYOUTS[kind], folder / kind)


if __name__ == "__main__":
    main()
