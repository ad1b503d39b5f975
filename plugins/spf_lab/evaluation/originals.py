"""Images of the original model, kept on disk: every preset is compared with the same ones."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spf_core.config.sections import SampleSection
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from spf_core.runs.cache import made_by
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.utils.atomic import atomic_folder
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.paths import cache_folder
from spf_core.utils.progress import Progress, silent

_SAYS = "spf-key"  # in the PNG: which draw, and which picture of it


def original_images(
    backbone: Backbone,
    texts: Sequence[str],
    noise: Sequence[int],
    options: SampleSection,
    *,
    before_handover: BeforeHandover | None = None,
    begins: Sequence[Image.Image] = (),
    beside: Sequence[Image.Image] = (),
    progress: Progress = silent,
    stage: str = "sampling",
    group: ProcessGroup = SINGLE_PROCESS,
) -> list[Image.Image]:
    """One image per text and noise seed, from the cache when it holds the same sampling (lossless PNG).

    The adapter must be off, that of `before_handover` too. The key covers the backbone's weights, texts,
    seeds, sampling options, kind of device, library versions and sampling code; an entry that is damaged, or
    whose pictures say another key, is drawn again. So is one that begins with other pixels than `begins`,
    which this process has drawn, or that was kept beside other pictures than `beside`. Of processes
    `group` the main one reads and keeps the entry; the others help to draw what it lacks, and get nothing.
    """
    key = _key(backbone, texts, noise, options, before_handover)
    folder = cache_folder() / "originals" / key
    says = f"{key}+{_digest(beside)}" if beside else key
    cached = _read(folder, says, len(texts)) if group.main else None
    if cached is not None and not same_pixels(cached[: len(begins)], begins):
        cached = None
    if group.each(cached is not None)[0]:
        progress(stage, len(texts), len(texts))
        return cached or []
    images = sample_images(
        backbone,
        texts,
        noise,
        options,
        before_handover=before_handover,
        progress=progress,
        stage=stage,
        group=group,
    )
    if group.main:
        _keep(folder, says, images)
    return images


def same_pixels(first: Sequence[Image.Image], second: Sequence[Image.Image]) -> bool:
    """Whether as many pictures hold the very same pixels."""
    return [(each.size, each.tobytes()) for each in first] == [(each.size, each.tobytes()) for each in second]


def _digest(images: Sequence[Image.Image]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.tobytes())
    return digest.hexdigest()[:32]


def _keep(folder: Path, says: str, images: Sequence[Image.Image]) -> None:
    try:
        with atomic_folder(folder) as draft:
            for index, image in enumerate(images):
                chunks = PngInfo()
                chunks.add_text(_SAYS, f"{says}/{index}")
                image.save(draft / f"{index:05d}.png", pnginfo=chunks)
    except RunError:
        if _read(folder, says, len(images)) is None:  # unless another process has just written the same draw
            raise


def _key(
    backbone: Backbone,
    texts: Sequence[str],
    noise: Sequence[int],
    options: SampleSection,
    before_handover: BeforeHandover | None,
) -> str:
    drawn = {
        **made_by(backbone),
        "image_size": backbone.image_size,
        "texts": list(texts),
        "noise": list(noise),
        "options": [options.steps, options.guidance, options.batch_size, options.precision],
    }
    if before_handover is not None and options.handover < 1:
        drawn["opening"] = [options.handover, *before_handover.texts]
        if options.negative != "empty":
            drawn["negative"] = options.negative
    return hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:32]


def _read(folder: Path, says: str, count: int) -> list[Image.Image] | None:
    try:
        return [_load(folder / f"{index:05d}.png", f"{says}/{index}") for index in range(count)]
    except (OSError, SyntaxError):
        return None


def _load(path: Path, says: str) -> Image.Image:
    """The picture; OSError when it says that it is another one."""
    with Image.open(path) as opened:
        if opened.info.get(_SAYS) != says:
            raise OSError(f"'{path}' belongs to other sampling")
        return opened.convert("RGB")
