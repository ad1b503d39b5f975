"""`make bench`: a step of `spf train` and a picture of `spf sample` beside diffusers' own, taking turns.

What diffusers does in a step is the logic of its script train_text_to_image_lora, at the same model, batch,
precision, rank and layers. It encodes texts and images in every step; the row "cached" does not.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs import (
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

BATCH, SIZE, RANK = 8, 64, 8
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
NAMES = (THEIRS, "diffusers, cached", *RUNS)


def make(name: str, data: Path, model: Path) -> Step:
    """The step of a row of the table."""
    if name in RUNS:
        preset, progress, options = RUNS[name]
        return run_step(data, preset, BATCH, progress, f"backbone.path={model}", *options)[0]
    return diffusers_step(data, model, BATCH, RANK, cached=name != THEIRS)


def step_times(model: Path, turns: int) -> dict[str, list[float]]:
    """Seconds by row; every run has a training folder of its own."""
    with ExitStack() as stack:
        steps = {name: make(name, stack.enter_context(opened(BATCH, SIZE)), model) for name in NAMES}
        return taking_turns(steps, turns)


def step_memory(model: Path, name: str) -> float:
    """Peak resident set in MiB of a process that does nothing else, after a few steps."""
    with opened(BATCH, SIZE) as data:
        step = make(name, data, model)
        for _ in range(4):
            step()
        return peak_mib()


def sampling_times(model: Path, turns: int) -> dict[str, list[float]]:
    """Seconds for a batch of pictures of equal settings, from texts to PIL images."""
    import torch
    from diffusers import DDIMScheduler

    from spf_core.sampling import sample_images
    from spf_core.sections import SampleSection
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    options, texts = SampleSection(steps=8), ["a man, red hair, in the park"] * BATCH
    backbone = StableDiffusion(model)
    backbone.to(torch.device("cpu"))
    pipeline = open_pipeline(model)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)

    def theirs() -> None:
        generators = [torch.Generator().manual_seed(seed) for seed in range(BATCH)]
        pipeline(
            texts, num_inference_steps=options.steps, guidance_scale=options.guidance, generator=generators
        )

    def ours() -> None:
        sample_images(backbone, texts, range(BATCH), options)

    return taking_turns({THEIRS: theirs, "spf": ours}, turns)


def ratio(times: dict[str, list[float]], name: str) -> float:
    """Median over the turns, against diffusers."""
    return statistics.median(own / their for own, their in zip(times[name], times[THEIRS], strict=True))


def compare(model: Path, turns: int) -> dict[str, Any]:
    """Measure everything and print the table."""
    times = measured_alone(__file__, "times", model=str(model), turns=turns)
    memory = {name: measured_alone(__file__, "memory", model=str(model), name=name) for name in NAMES}
    sampling = measured_alone(__file__, "sampling", model=str(model), turns=turns)
    print(f"\nagainst diffusers' train_text_to_image_lora: {model.name}, batch {BATCH}, {turns} turns")
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
    "times": lambda model, turns: step_times(Path(model), turns),
    "memory": lambda model, name: step_memory(Path(model), name),
    "sampling": lambda model, turns: sampling_times(Path(model), turns),
}


def main() -> None:
    """Compare, or act as one of the measuring processes."""
    if act(WORKERS, __doc__):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mini", type=Path, default=PACKAGED, help="pipeline folder of the model")
    parser.add_argument("--repetitions", type=int, default=9, help="turns of each row")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    arguments = parser.parse_args()
    report = compare(arguments.mini, arguments.repetitions)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
