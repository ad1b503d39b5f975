"""Tailored training sets of a target, deliberately biased, and prompts that no training has seen."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spf_core.errors import ConfigError, DataError

from .captions import Caption, describe
from .render import PARTS, render, segment, target_region
from .spec import ATTRIBUTES, Portrait, check_attribute, check_bias, check_target, sample_portrait

WORLD_VERSION = 1
Item = tuple[Portrait, Caption]


def tailored_set(
    target: str, count: int, *, bias: Mapping[str, str], seed: int, omit: Collection[str] | None = None
) -> list[Item]:
    """`count` captioned portraits of split "train" that carry `target` and the attribute values of `bias`.

    The captions are silent on the attributes in `omit` (those of the bias when None) and mention all others.
    Raises ConfigError for an unknown target, attribute or value, a count below 1 or a negative seed.
    """
    check_target(target)
    silent = set(check_bias(bias) if omit is None else omit)
    for name in silent:
        check_attribute(name)
    mention = [name for name in ATTRIBUTES if name not in silent]
    return _items(count, seed, mention=mention, target=target, bias=bias, split="train")


def evaluation_prompts(
    count: int, *, seed: int, split: str, mention: Collection[str] | None = None
) -> list[Item]:
    """`count` captioned portraits of `split` ("dev" or "test") without a target, in no training set.

    The captions mention the attributes in `mention`, all of them when None. Raises ConfigError as above.
    """
    if split == "train":
        raise ConfigError("split 'train' holds training data. Evaluate on 'dev' or 'test'.")
    return _items(count, seed, mention=mention, target=None, bias={}, split=split)


def write_portraits(out: Path, items: Iterable[Item], *, size: int = 64, extra: Mapping[str, Any]) -> None:
    """Write an image folder: images/, metadata.jsonl and the ground truth beside them.

    masks/ holds the target regions, segmentation/ the part ids, portraits.json what `extra` records (seed,
    bias, target) with the version of the world. The same items give the same bytes.
    The folder appears complete or not at all. Raises DataError when `out` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"'{out}' is not empty. Choose another folder or delete this one.")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write(draft, list(items), size, extra)
        draft.chmod(0o755)
        draft.replace(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _items(
    count: int,
    seed: int,
    *,
    mention: Collection[str] | None,
    target: str | None,
    bias: Mapping[str, str],
    split: str,
) -> list[Item]:
    if count < 1 or seed < 0:
        raise ConfigError(f"count {count}, seed {seed}: give a count of at least 1 and a seed of at least 0.")
    rng = np.random.default_rng(seed)
    portraits = [sample_portrait(rng, bias=bias, target=target, split=split) for _ in range(count)]
    return [(portrait, describe(portrait, rng, mention=mention)) for portrait in portraits]


def _write(folder: Path, items: list[Item], size: int, extra: Mapping[str, Any]) -> None:
    for name in ("images", "masks", "segmentation"):
        (folder / name).mkdir()
    lines = [_write_item(folder, f"{index:05d}.png", item, size) for index, item in enumerate(items)]
    (folder / "metadata.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    record = {"version": WORLD_VERSION, "count": len(items), "size": size, "parts": list(PARTS), **extra}
    text = json.dumps(record, indent=2, sort_keys=True)
    (folder / "portraits.json").write_text(f"{text}\n", encoding="utf-8")


def _write_item(folder: Path, name: str, item: Item, size: int) -> str:
    portrait, caption = item
    Image.fromarray(render(portrait, size)).save(folder / "images" / name)
    Image.fromarray(target_region(portrait, size).astype(np.uint8) * 255).save(folder / "masks" / name)
    Image.fromarray(segment(portrait, size)).save(folder / "segmentation" / name)
    line = {
        "file_name": f"images/{name}",
        "mask": f"masks/{name}",
        "segmentation": f"segmentation/{name}",
        "base_text": caption.base_text,
        "target_text": caption.target_text,
        "base_phrases": list(caption.base_phrases),
        "labels": portrait.labels(),
        "portrait": asdict(portrait),
    }
    return json.dumps(line, sort_keys=True)
