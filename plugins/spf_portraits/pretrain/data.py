"""Stage `data`: render the recipe's sets once, as uint8 arrays plus captions and labels in JSON lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spf_portraits.pretrain.recipe import RESOLUTION, SETS, Options, SetPlan
from spf_portraits.world.spec import ATTRIBUTES, TARGETS

CLASSES: dict[str, tuple[str, ...]] = {**ATTRIBUTES, "target": ("none", *TARGETS)}
CHUNK = 100


@dataclass(frozen=True)
class CaptionText:
    """A caption and the names of the attributes (or `target`) that it states."""

    text: str
    mentioned: tuple[str, ...]


@dataclass(frozen=True)
class RenderedSet:
    """N images (N, H, W, 3) uint8, captions, class indices (N, A), identities and part masks (N, H, W)."""

    images: np.ndarray
    captions: list[list[CaptionText]]
    labels: np.ndarray
    identities: list[str]
    parts: np.ndarray | None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def variants(self) -> int:
        """Captions per image."""
        return len(self.captions[0])

    def mention_mask(self, index: int, variant: int) -> np.ndarray:
        """Which classes' columns caption `variant` of image `index` states: bool (A,)."""
        mentioned = self.captions[index][variant].mentioned
        return np.array([name in mentioned for name in CLASSES])


def to_pixels(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2).div_(127.5).sub_(1)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    temporary.replace(path)


def render_sets(options: Options) -> None:
    """Render every set that the cache lacks."""
    for plan in SETS:
        if not (options.cache / plan.name / "records.jsonl").exists():
            render_set(plan, options)


def render_set(plan: SetPlan, options: Options) -> None:
    """Render one set with a process per thread."""
    from spf_portraits.pretrain.scenes import render_chunk

    starts = [(plan, start, min(start + CHUNK, plan.count)) for start in range(0, plan.count, CHUNK)]
    images, parts, records = [], [], []
    with get_context("spawn").Pool(options.threads) as pool:
        for chunk_images, chunk_parts, chunk_records in pool.imap(render_chunk, starts):
            images.append(chunk_images)
            parts.append(chunk_parts)
            records.extend(chunk_records)
            if len(images) % 20 == 0:
                print(f"data {plan.name} {len(records)}/{plan.count * plan.views}", flush=True)
    folder = options.cache / plan.name
    save_array(folder / "images.npy", np.concatenate(images))
    if plan.parts:
        save_array(folder / "parts.npy", np.concatenate(parts))
    lines = "".join(json.dumps(record) + "\n" for record in records)
    temporary = folder / "records.tmp"
    temporary.write_text(lines, encoding="utf-8")
    temporary.replace(folder / "records.jsonl")
    print(f"data {plan.name}: {len(records)} portraits at {RESOLUTION} px", flush=True)


def load_set(cache: Path, name: str) -> RenderedSet:
    """Read a rendered set."""
    folder = cache / name
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    parts = folder / "parts.npy"
    return RenderedSet(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        captions=[[CaptionText(c["text"], tuple(c["mentioned"])) for c in r["captions"]] for r in records],
        labels=np.array([class_indices(record["labels"]) for record in records]),
        identities=[record["identity"] for record in records],
        parts=np.load(parts, mmap_mode="r") if parts.exists() else None,
    )


def class_indices(labels: dict[str, str]) -> list[int]:
    """Labels as class numbers, in the order of `CLASSES`."""
    return [options.index(labels[name]) for name, options in CLASSES.items()]
