"""`make bench`: a step of `spf train` and a picture of `spf sample` beside diffusers' own, taking turns.

What diffusers does in a step is the logic of its script train_text_to_image_lora, at the same model, batch,
precision and LoRA. It encodes texts and images in every step; the row "cached" does not. A preset is held
against the loop that trains the same LoRA, and against the script's own. Times are means: the enhancement
decodes in some steps alone. With `--device cuda --model sd15` the model is Stable Diffusion 1.5 at its real
size with random weights.
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

BANK = ("reference.name=bank", "reference.states=1", "train.noise_share=0.5", "train.empty_share=0")
RUNS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "lora": ("lora", 0.5, ()),
    "spf, first four fifths": ("spf", 0.1, ()),
    "spf, every term": ("spf", 0.81, ()),
    "spf, every term, bank": ("spf", 0.81, BANK),
}
THEIRS, THEIRS_CACHED, THEIRS_AS_SPF = "diffusers", "diffusers, cached", "diffusers, LoRA of spf"
LOOPS = {THEIRS: "lora", THEIRS_CACHED: "lora", THEIRS_AS_SPF: "spf"}  # whose LoRA they train
TIME_BARS = {"lora": 0.85, "spf, every term": 1.25, "spf, every term, bank": 1.0}
MEMORY_BAR, SAMPLING_BAR = 1.1, 1.02
MEMORY_STEPS = 12
REAL = "sd15"
NAMES = (*LOOPS, *RUNS)
TITLES = f"{'ratio':>7}{'bar':>6}{'script':>8}"


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


def make(name: str, data: Path, case: Case) -> tuple[Step, int]:
    """The step of a row of the table, and how many values it trains."""
    if name in RUNS:
        preset, progress, options = RUNS[name]
        return run_step(data, preset, case.batch, progress, *case.backbone, *options, device=case.device)
    cached = name == THEIRS_CACHED
    return diffusers_step(data, Path(case.model), case.batch, LOOPS[name], cached, case.device)


def loop_of(name: str) -> str:
    """The loop that trains the same LoRA, and encodes as the script does."""
    preset = RUNS[name][0] if name in RUNS else LOOPS[name]
    return THEIRS_AS_SPF if preset == "spf" else THEIRS


def step_times(case: Case, turns: int) -> dict[str, list[float]]:
    """Seconds by row; every run has a training folder of its own."""
    with ExitStack() as stack:
        made = {name: make(name, stack.enter_context(opened(case.batch, case.size)), case) for name in NAMES}
        for name, (_, trained) in made.items():
            assert trained == made[loop_of(name)][1], f"{name} trains another LoRA than {loop_of(name)}"
        return taking_turns({name: step for name, (step, _) in made.items()}, turns, case.device)


def step_memory(case: Case, name: str) -> float:
    """Peak in MiB of a process that does nothing else, after a few steps."""
    with opened(case.batch, case.size) as data:
        step, _ = make(name, data, case)
        for _ in range(MEMORY_STEPS):
            step()
        return peak_mib(case.device)


def sampling_times(case: Case, turns: int) -> dict[str, list[float]]:
    """Seconds for a batch of pictures of equal settings, from texts to PIL images."""
    import torch
    from diffusers import DDIMScheduler

    from spf_core.config.sections import SampleSection
    from spf_core.sampling.sampler import sample_images
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


def ratio(times: dict[str, list[float]], name: str, other: str = THEIRS) -> float:
    """All turns of one over those of the other."""
    return sum(times[name]) / sum(times[other])


def compare(case: Case, turns: int) -> dict[str, Any]:
    """Measure everything and print the table."""
    told = asdict(case)
    times = measured_alone(__file__, "times", **told, turns=turns)
    memory = {name: measured_alone(__file__, "memory", **told, name=name) for name in NAMES}
    sampling = measured_alone(__file__, "sampling", **told, turns=min(turns, 9))
    print(
        f"\nagainst diffusers' train_text_to_image_lora: {Path(case.model).name} on {case.device}, "
        f"batch {case.batch} at {case.size} px, {turns} turns; ratios to the loop that trains the same LoRA, "
        "then to the script's own"
    )
    print(f"{'':<26}{'s/step':>9}{TITLES}{'peak MiB':>10}{TITLES}")
    rows: dict[str, Any] = {}
    for name in NAMES:
        loop = loop_of(name)
        rows[name] = {
            "seconds": statistics.mean(times[name]),
            "time": (ratio(times, name, loop), ratio(times, name)),
            "peak_mib": memory[name],
            "memory": tuple(memory[name] / memory[each] for each in (loop, THEIRS)),
        }
        bars = TIME_BARS.get(name, ""), MEMORY_BAR if name in RUNS else ""
        (time, own_time), (peak, own_peak) = rows[name]["time"], rows[name]["memory"]
        print(
            f"{name:<26}{rows[name]['seconds']:>9.3f}{time:>7.2f}{bars[0]:>6}{own_time:>8.2f}"
            f"{memory[name]:>10.0f}{peak:>7.2f}{bars[1]:>6}{own_peak:>8.2f}"
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
    parser.add_argument("--repetitions", type=int, default=27, help="turns of each row")
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
