"""Folders as `spf evaluate --keep` leaves them, with pictures that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, PngImagePlugin

METHODS = ("spf", "lora", "naive")
SIZE = 24


def write_evaluation(
    folder: Path, *, scenes: int = 40, method: str = "spf", first: int = 0, target: str = "hat", **facts: Any
) -> Path:
    """Pictures differ between methods and scenes; their metadata names the method."""
    (folder / "images").mkdir(parents=True)
    results = {
        "suite_label": "squares",
        "target": target,
        "target_text": f"wearing a {target}",
        "model_hash": "base",
    }
    (folder / "results.json").write_text(json.dumps(results | facts), encoding="utf-8")
    rows = []
    for number in range(scenes):
        text, tau = f"person {first + number}", {"a": 0.01, "c": 0.99}
        for seed in range(2):
            noise = 1000 + first + number + 100_000 * seed
            rows.append({"prompt": number, "seed": seed, "noise": noise, "base_text": text, "tau": tau})
        for role, salt in (("original", "original"), ("tuned", f"{method} {target}")):
            rng = np.random.default_rng([first + number, *salt.encode()])
            info = PngImagePlugin.PngInfo()
            info.add_text("method", method)
            image = Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
            image.save(folder / "images" / f"{role}-{number:03d}.png", pnginfo=info)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def write_evaluations(folder: Path, methods: tuple[str, ...] = METHODS, **options: Any) -> list[str]:
    return [str(write_evaluation(folder / name, method=name, **options)) for name in methods]


def write_benchmark(folder: Path, *, scenes: int = 40) -> Path:
    """Two presets, two targets and two training seeds, as `spf benchmark` lays them out."""
    spec = {"suite": "portraits", "targets": ["hat", "beard"], "presets": ["spf", "lora"], "seeds": [0, 1]}
    folder.mkdir()
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    for target in ("hat", "beard"):
        for preset in ("spf", "lora"):
            for seed in (0, 1):
                cell = folder / "cells" / target / preset / f"seed-{seed}" / "evaluation"
                write_evaluation(cell, scenes=scenes, method=f"{preset}{seed}", target=target)
    return folder


def manifest(page: Path) -> dict[str, Any]:
    text = (page / "manifest.js").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix("const MANIFEST = ").rstrip().removesuffix(";"))
    return found
