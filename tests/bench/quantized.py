"""What a quantised base model costs and saves: predictions, bytes of weights, the estimated peak of a step.

`python tests/bench/quantized.py` measures the packaged `mini`, opened as `sd15`, on the CPU; `--model` names
another folder or file, and `--backbone` its architecture. nf4 needs bitsandbytes. The peak is that of preset
lora with two rows, with gradient checkpointing and without.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.run import open_backbone
from spf_core.training.resources.memory_estimate import estimate_memory
from spf_core.training.resources.run_estimate import peak_bytes, size_of
from spf_core.utils.prompts import Prompt

MINI = Path(__file__).parents[2] / "plugins" / "spf_portraits" / "weights" / "mini"
PROMPTS = [
    Prompt("a portrait of a woman with red hair, in a park", "wearing a hat"),
    Prompt("a portrait of an old man, wearing a blazer", "wearing sunglasses"),
]
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)  # fractions of the noise schedule


def config_of(backbone: str, model: str, quantize: str, checkpointing: bool) -> RunConfig:
    """A run of preset lora on the model."""
    chosen = [f"backbone.name={backbone}", f"backbone.path={model}", f"backbone.quantize={quantize}"]
    steps = ["train.batch_size=2", f"train.gradient_checkpointing={str(checkpointing).lower()}"]
    return load_run_config(load_plugins(), preset="lora", assignments=[*chosen, *steps])


@torch.no_grad()
def predictions(backbone: Any) -> torch.Tensor:
    """For every time and prompt, T B C H W: the same noise for every model."""
    shape = backbone.latent_shape(backbone.image_size, backbone.image_size)
    noise = torch.randn(len(PROMPTS), *shape, generator=torch.Generator().manual_seed(0))
    texts = backbone.encode_prompts(PROMPTS, with_target=True)
    return torch.stack(
        [backbone.predict(noise, backbone.noise.at(t, len(PROMPTS)), texts).pred_BCHW for t in TIMES]
    )


def peak(config: RunConfig, backbone: Any) -> tuple[str, str]:
    """Bytes of all weights, and the most in a step, as estimated."""
    adapter = config.adapter.build()
    adapter.attach(backbone)
    size = backbone.image_size, backbone.image_size
    found = estimate_memory(config, backbone, adapter, PROMPTS, size)
    denoiser = sum(number for (part, _), number in found.weights.items() if part == "denoiser")
    return size_of(denoiser), size_of(peak_bytes(config, backbone, adapter, found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="sd15")
    parser.add_argument("--model", default=str(MINI))
    told, plain = parser.parse_args(), None
    print(
        "| quantize | distance | s | weights of the denoiser | peak, checkpointing | peak, without |\n"
        + "|---" * 6
        + "|"
    )
    for quantize in ("none", "int8", "nf4"):
        row = []
        for checkpointing in (True, False):
            config = config_of(told.backbone, told.model, quantize, checkpointing)
            backbone: Any = open_backbone(config.backbone, "cpu")
            if checkpointing:
                started = time.perf_counter()
                found = predictions(backbone)
                seconds = time.perf_counter() - started
                plain = found if plain is None else plain
                distance = float((found - plain).norm() / plain.norm())
            row.append(peak(config, backbone))
        (weights, with_it), (_, without) = row
        print(
            f"| `{quantize}` | {distance:.2%} | {seconds:.1f} | {weights} | {with_it} | {without} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
