"""Images of the original model, kept on disk: every preset is compared with the same ones."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from spf_core.atomic import atomic_folder
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from spf_core.kept import made_by
from spf_core.places import cache_folder
from spf_core.progress import Progress, silent
from spf_core.sampling import Opening, sample_images
from spf_core.sections import SampleSection


def original_images(
    backbone: Backbone,
    texts: Sequence[str],
    noise: Sequence[int],
    options: SampleSection,
    *,
    opening: Opening | None = None,
    progress: Progress = silent,
    stage: str = "sampling",
) -> list[Image.Image]:
    """One image per text and noise seed, from the cache when the very same draw is there (lossless PNG).

    The adapter must be off, that of `opening` too. The key covers the backbone's weights, texts, seeds,
    sampling options, kind of device and library versions; a damaged entry is drawn again.
    """
    folder = cache_folder() / "originals" / _key(backbone, texts, noise, options, opening)
    kept = _read(folder, len(texts))
    if kept is not None:
        progress(stage, len(kept), len(kept))
        return kept
    images = sample_images(backbone, texts, noise, options, opening=opening, progress=progress, stage=stage)
    try:
        with atomic_folder(folder) as draft:
            for index, image in enumerate(images):
                image.save(draft / f"{index:05d}.png")
    except RunError:
        if _read(folder, len(texts)) is None:  # unless another process has just written the same draw
            raise
    return images


def _key(
    backbone: Backbone,
    texts: Sequence[str],
    noise: Sequence[int],
    options: SampleSection,
    opening: Opening | None,
) -> str:
    drawn = {
        **made_by(backbone),
        "image_size": backbone.image_size,
        "texts": list(texts),
        "noise": list(noise),
        "options": [options.steps, options.guidance, options.batch_size, options.precision],
    }
    if opening is not None and options.handover < 1:
        drawn["opening"] = [options.handover, *opening.texts]
    return hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:32]


def _read(folder: Path, count: int) -> list[Image.Image] | None:
    try:
        return [_load(folder / f"{index:05d}.png") for index in range(count)]
    except (OSError, SyntaxError):
        return None


def _load(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")
