"""Pictures of an evaluation on disk: the first pairs, which nobody chose, and the worst."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from spf_core.data import open_rgb
from spf_core.errors import DataError
from spf_core.interfaces import Quadruples, Suite
from spf_core.sampling.sampler import save_png
from spf_lab.evaluation.purity import Floats

FOLDER = "images"
SHOWN = 8
WORST = 10  # pairs whose pictures are kept for being the worst
ROLES = {"original": "a", "prompted": "b", "tuned": "c", "tuned-base": "d"}  # file name -> list of quadruples
_REGION = "region"
LOSSY = "lossy"  # in the `info` of a picture that was compressed already


@dataclass(frozen=True)
class Pictures:
    """What is kept of a pair: pictures by role, and H W bool where the target may change them."""

    roles: dict[str, Image.Image]
    region_HW: NDArray[np.bool_] | None


def first_pairs(prompts: int, seeds: int, count: int = SHOWN) -> list[int]:
    """The first `count` prompts with their first noise seed."""
    return [prompt * seeds for prompt in range(min(count, prompts))]


def worst_pairs(pollution: ArrayLike, count: int = SHOWN) -> list[int]:
    """The `count` pairs with the highest SPI, the highest first; those without one come last."""
    values = np.asarray(pollution, np.float64)
    return [int(i) for i in np.argsort(np.nan_to_num(-values, nan=1.0), kind="stable")[:count]]


def keep_pictures(out: Path, quads: Quadruples, pairs: Iterable[int], suite: Suite) -> None:
    """Write images/ROLE-NNN.png of some pairs, numbered as in pairs.jsonl, and their regions."""
    numbers = sorted(set(pairs))
    a, c = [quads.a[i] for i in numbers], [quads.c[i] for i in numbers]
    outside_NHW = suite.region(a, c, quads.target).outside_NHW.numpy()
    for i, outside_HW in zip(numbers, outside_NHW, strict=True):
        for role, name in ROLES.items():
            save_png(getattr(quads, name)[i], _file(out, role, i), {})
        save_png(Image.fromarray(~outside_HW), _file(out, _REGION, i), {})


def read_pictures(out: Path, pair: int) -> Pictures:
    """What the evaluation's folder `out` keeps of a pair; roles that it lacks are left out.

    DataError for a picture that is damaged or of another size than the pair's others.
    """
    files = {role: _file(out, role, pair) for role in ROLES}
    roles = {role: open_rgb(file) for role, file in files.items() if file.is_file()}
    for role, picture in roles.items():
        width, height = next(iter(roles.values())).size
        if picture.size != (width, height):
            raise DataError(
                f"image '{files[role]}' is {picture.width} x {picture.height} pixels, and others of its pair "
                f"{width} x {height}; evaluate the run again"
            )
    region = _file(out, _REGION, pair)
    if not (roles and region.is_file()):
        return Pictures(roles, None)
    size = next(iter(roles.values())).size
    # The region may be smaller or larger: a judge may see pictures at a size of its own.
    mask = open_rgb(region).convert("1").resize(size, Image.Resampling.NEAREST)
    return Pictures(roles, np.asarray(mask))


def change(one: Image.Image, other: Image.Image) -> Floats:
    """|A - C| in [0, 1], H W: the mean over the channels."""
    first, second = (np.asarray(image.convert("RGB"), np.float64) / 255 for image in (one, other))
    return np.asarray(np.abs(first - second).mean(axis=2))


def shared_top(changes: Sequence[Floats]) -> float:
    """The change at full colour when maps share a scale; small ones are not blown up."""
    return max([0.1, *(float(each.max()) for each in changes)])


def _file(out: Path, role: str, pair: int) -> Path:
    return out / FOLDER / f"{role}-{pair:03d}.png"
