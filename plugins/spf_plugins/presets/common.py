"""Settings that all presets start from: fine-tuning with the denoising loss."""

from typing import Any

DENOISING: dict[str, Any] = {
    "backbone": "mini",
    "adapter": "lora-adapter",
    "losses": {"denoising": {}},
    "optimizer": {"learning_rate": 5e-4},
    "train": {"steps": 400},
}
