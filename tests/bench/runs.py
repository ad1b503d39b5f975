"""Steps to be measured: of real runs, and of the loop that diffusers publishes."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Step = Callable[[], None]
CPU = "cpu"
PACKAGED = Path(__file__).parents[2] / "plugins" / "spf_portraits" / "weights" / "mini"
TEXTS = {"base_text": "a man, red hair, in the park", "target_text": "with a hat"}
STEPS = 1000  # that a run is said to have
CHEAP = ("sample.steps=3", "sample.every=0", "dataset.cache=false", "train.text_variants=1")  # not measured


@contextmanager
def opened(batch_size: int, size: int, masks: bool = False) -> Iterator[Path]:
    """A training folder of random images, and a cache of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPF_CACHE"] = str(Path(folder) / "cache")
        data = Path(folder) / "data"
        data.mkdir()
        write_rows(data, batch_size, size, masks)
        yield data


def write_rows(folder: Path, count: int, size: int, masks: bool = False) -> None:
    """Random images, with a mask each if asked for."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)
    lines = []
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
        row = {"file_name": f"{number}.png", **TEXTS}
        if masks:
            Image.fromarray(np.where(image[..., 0] > 127, 255, 0).astype(np.uint8)).save(
                folder / f"mask-{number}.png"
            )
            row["mask"] = f"mask-{number}.png"
        lines.append(json.dumps(row))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def run_step(
    data: Path, preset: str, batch_size: int, progress: float, *options: str, device: str = CPU
) -> tuple[Step, int]:
    """`spf train`'s own step of a preset at that progress, and how many values it trains.

    On a GPU the frozen weights are bfloat16 and a step is in bf16, as in `diffusers_step`.
    """
    from spf_core.config.loading import load_run_config
    from spf_core.plugins.discovery import load_plugins
    from spf_core.preparation.rows import rows_of
    from spf_core.training.trainer import Trainer
    from spf_core.utils.progress import silent

    plain = ("train.accumulation=1", "train.gradient_checkpointing=false")
    size = (f"train.batch_size={batch_size}", f"train.steps={STEPS}")
    chosen = (f"data={data}", *size, *plain, *CHEAP, *options)
    formats = () if device == CPU else ("train.precision=bf16", "sample.precision=bf16")
    assigned = [*chosen, *formats, f"train.device={device}"]
    config = load_run_config(load_plugins(), preset=preset, assignments=assigned)
    trainer = Trainer(config, data.parent / "run", rows_of(config.preparation), silent)
    trainer.step = int(progress * STEPS)
    return lambda: void(trainer.train_step()), sum(p.numel() for p in trainer.parameters)


def open_pipeline(model: Path) -> Any:
    """A folder's pipeline, as diffusers opens it."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        model, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def diffusers_step(
    data: Path, model: Path, batch_size: int, preset: str, cached: bool = False, device: str = CPU
) -> tuple[Step, int]:
    """One step of diffusers' examples/text_to_image/train_text_to_image_lora.py, as its loop does it.

    It trains the LoRA of our preset: that rank, in those layers. Returns how many values that are, too.

    Written anew after it, for one process without accumulation: the VAE and the text encoder read the batch
    in every step, unless `cached`, which the script has no option for. The batch is ready beforehand. On a
    GPU as with `--mixed_precision bf16`: everything frozen is bfloat16.
    """
    import torch
    import torch.nn.functional as F
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    from spf_core.config.loading import load_run_config
    from spf_core.data import load_image, read_folder
    from spf_core.plugins.discovery import load_plugins
    from spf_core.utils.pixels import to_pixels

    lora = load_run_config(load_plugins(), preset=preset).adapter
    options = {"r": lora.rank, "lora_alpha": lora.rank, "target_modules": list(lora.targets)}
    pipeline = open_pipeline(model)
    unet, vae, text_encoder = pipeline.unet, pipeline.vae, pipeline.text_encoder
    noise_scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    dtype = torch.float32 if device == CPU else torch.bfloat16
    for network in (unet, vae, text_encoder):
        network.requires_grad_(False).to(device, dtype=dtype)
    unet.add_adapter(LoraConfig(init_lora_weights="gaussian", **options))
    cast_training_params(unet, dtype=torch.float32)
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    accelerator = Accelerator(cpu=device == CPU, mixed_precision="no" if device == CPU else "bf16")
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    schedule = get_scheduler("constant", optimizer=optimizer, num_warmup_steps=0, num_training_steps=STEPS)
    unet, optimizer, schedule = accelerator.prepare(unet, optimizer, schedule)
    unet.train()
    side = unet.config.sample_size * pipeline.vae_scale_factor
    pixels = to_pixels(load_image(row, side) for row in read_folder(data)).to(device, dtype=dtype)
    words = pipeline.tokenizer(
        [", ".join(TEXTS.values())] * batch_size, padding="max_length", truncation=True, return_tensors="pt"
    )

    def encoded() -> tuple[Any, Any]:
        latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
        return latents, text_encoder(words.input_ids.to(device))[0]

    kept = encoded() if cached else None

    def step() -> None:
        latents, states = kept or encoded()
        noise = torch.randn_like(latents)
        times = torch.randint(
            0, noise_scheduler.config.num_train_timesteps, (batch_size,), device=device
        ).long()
        noisy = noise_scheduler.add_noise(latents, noise, times)
        predicted = unet(noisy, times, states).sample
        loss = F.mse_loss(predicted.float(), noise.float(), reduction="mean")
        accelerator.gather(loss.repeat(batch_size)).mean().item()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

    return step, sum(parameter.numel() for parameter in trained)


def void(_found: Any) -> None:
    """Nothing."""


def taking_turns(steps: Mapping[str, Step], turns: int, device: str = CPU) -> dict[str, list[float]]:
    """Seconds of each step, after one of each that is not counted."""
    import torch

    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(-1, turns):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if device != CPU:
                torch.cuda.synchronize()
            if turn >= 0:
                times[name].append(time.perf_counter() - started)
    return times


def measured_alone(script: str, worker: str, /, **case: Any) -> Any:
    """What a script measures in a process of its own: `script --worker WORKER --case JSON`."""
    command = [sys.executable, script, "--worker", worker, "--case", json.dumps(case)]
    quiet = {**os.environ, "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**quiet, "TQDM_DISABLE": "1"}
    )
    return json.loads(done.stdout.splitlines()[-1])


def act(workers: Mapping[str, Callable[..., Any]], description: str | None) -> bool:
    """Whether this process is one that measures; then the numbers are printed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--worker", choices=list(workers), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments, _ = parser.parse_known_args()
    if arguments.worker:
        print(json.dumps(workers[arguments.worker](**json.loads(arguments.case))))
    return bool(arguments.worker)


def peak_mib(device: str = CPU) -> float:
    """Peak resident set of this process; on a GPU, of what tensors took there."""
    if device != CPU:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
