"""`make bench`: a step of `spf train` and a picture of `spf sample` beside diffusers' own, taking turns.

What diffusers does in a step is the logic of its script train_text_to_image_lora, at the same model, batch,
precision, rank and layers. It encodes texts and images in every step; the row "cached" does not. With
`--device cuda --model sd15` the model is Stable Diffusion 1.5 at its real size with random weights.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "real_size"))

from runs import (
    CPU,
    PACKAGED,
    Step,
    act,
    diffusers_step,
    measured_alone,
    open_pipeline,
    opened,
    peak_mib,
    run_step,
    taking_turns,
)

RANK = 8
THEIRS = "diffusers"
BANK = ("train.bank=1", "train.noise_share=0.5", "train.empty_share=0")
RUNS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "lora": ("lora", 0.5, ()),
    "spf, first four fifths": ("spf", 0.1, ()),
    "spf, every term": ("spf", 0.81, ()),
    "spf, every term, bank": ("spf", 0.81, BANK),
}
TIME_BARS = {"lora": 0.85, "spf, every term": 1.25, "spf, every term, bank": 1.0}
MEMORY_BAR, SAMPLING_BAR = 1.1, 1.02
REAL = "sd15"
NAMES = (THEIRS, "diffusers, cached", *RUNS)


@dataclass(frozen=True)
class Case:
    """What both sides train, and where."""

    model: str
    batch: int
    size: int
    device: str

    @property
    def backbone(self) -> tuple[str, ...]:
        """The options that open it; on a GPU as Stable Diffusion, whose frozen weights are bfloat16 there."""
        return (*(() if self.device == CPU else ("backbone=sd15",)), f"backbone.path={self.model}")


def make(name: str, data: Path, case: Case) -> Step:
    """The step of a row of the table."""
    if name in RUNS:
        preset, progress, options = RUNS[name]
        return run_step(data, preset, case.batch, progress, *case.backbone, *options, device=case.device)[0]
    cached = name != THEIRS
    return diffusers_step(data, Path(case.model), case.batch, RANK, cached=cached, device=case.device)


def step_times(case: Case, turns: int) -> dict[str, list[float]]:
    """Seconds by row; every run has a training folder of its own."""
    with ExitStack() as stack:
        steps = {name: make(name, stack.enter_context(opened(case.batch, case.size)), case) for name in NAMES}
        return taking_turns(steps, turns, case.device)


def step_memory(case: Case, name: str) -> float:
    """Peak in MiB of a process that does nothing else, after a few steps."""
    with opened(case.batch, case.size) as data:
        step = make(name, data, case)
        for _ in range(4):
            step()
        return peak_mib(case.device)


def sampling_times(case: Case, turns: int) -> dict[str, list[float]]:
    """Seconds for a batch of pictures of equal settings, from texts to PIL images."""
    import torch
    from diffusers import DDIMScheduler

    from spf_core.sampling import sample_images
    from spf_core.sections import SampleSection
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    dtype = torch.float32 if case.device == CPU else torch.bfloat16
    options, texts = SampleSection(steps=8), ["a man, red hair, in the park"] * case.batch
    backbone = StableDiffusion(Path(case.model), dtype=dtype)
    backbone.to(torch.device(case.device))
    pipeline = open_pipeline(Path(case.model)).to(case.device, dtype)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)

    def theirs() -> None:
        generators = [torch.Generator().manual_seed(seed) for seed in range(case.batch)]
        pipeline(
            texts, num_inference_steps=options.steps, guidance_scale=options.guidance, generator=generators
        )

    def ours() -> None:
        sample_images(backbone, texts, range(case.batch), options)

    return taking_turns({THEIRS: theirs, "spf": ours}, turns, case.device)


def ratio(times: dict[str, list[float]], name: str) -> float:
    """Median over the turns, against diffusers."""
    return statistics.median(own / their for own, their in zip(times[name], times[THEIRS], strict=True))


def compare(case: Case, turns: int) -> dict[str, Any]:
    """Measure everything and print the table."""
    told = asdict(case)
    times = measured_alone(__file__, "times", **told, turns=turns)
    memory = {name: measured_alone(__file__, "memory", **told, name=name) for name in NAMES}
    sampling = measured_alone(__file__, "sampling", **told, turns=turns)
    print(
        f"\nagainst diffusers' train_text_to_image_lora: {Path(case.model).name} on {case.device}, "
        f"batch {case.batch} at {case.size} px, {turns} turns"
    )
    print(f"{'':<26}{'s/step':>9}{'ratio':>7}{'bar':>6}{'peak MiB':>10}{'ratio':>7}{'bar':>6}")
    rows: dict[str, Any] = {}
    for name in NAMES:
        row = {
            "seconds": statistics.median(times[name]),
            "time_ratio": ratio(times, name),
            "peak_mib": memory[name],
            "memory_ratio": memory[name] / memory[THEIRS],
        }
        rows[name] = row
        bars = TIME_BARS.get(name, ""), MEMORY_BAR if name in RUNS else ""
        print(
            f"{name:<26}{row['seconds']:>9.3f}{row['time_ratio']:>7.2f}{bars[0]:>6}"
            f"{row['peak_mib']:>10.0f}{row['memory_ratio']:>7.2f}{bars[1]:>6}"
        )
    rows["sampling"] = {"time_ratio": ratio(sampling, "spf")}
    print(f"plain sampling over diffusers' pipeline: {ratio(sampling, 'spf'):.2f} (bar {SAMPLING_BAR})")
    return rows


WORKERS: dict[str, Callable[..., Any]] = {
    "times": lambda turns, **case: step_times(Case(**case), turns),
    "memory": lambda name, **case: step_memory(Case(**case), name),
    "sampling": lambda turns, **case: sampling_times(Case(**case), turns),
}


def main() -> None:
    """Compare, or act as one of the measuring processes."""
    if act(WORKERS, __doc__):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(PACKAGED), help=f"pipeline folder, or {REAL}")
    parser.add_argument("--device", default=CPU, choices=(CPU, "cuda"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, help="of the pictures; 64, and 512 for the real model")
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each row")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    told = parser.parse_args()
    real = told.model == REAL
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, REAL) if real else Path(told.model)
        if real:
            from models import LAYOUTS, write_model  # not above: children inherit this process' peak

            write_model(LAYOUTS[REAL], model)
        case = Case(str(model), told.batch, told.size or (512 if real else 64), told.device)
        report = compare(case, told.repetitions)
    if told.out:
        told.out.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
