"""Decoding, cropping and resizing of images and masks. Torch-free."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from spf_core.data.row import Row, View
from spf_core.errors import DataError
from spf_core.utils.atomic import atomic_file
from spf_core.utils.paths import cache_folder

# No others are tried, whatever a file is called: Pillow hands some, as EPS, to programs of the system.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
SUFFIXES = frozenset(end for end, name in Image.registered_extensions().items() if name in (*_FORMATS, "MPO"))
_OF_CAMERAS = "raw dng cr2 cr3 nef nrw arw raf orf rw2 rwl pef srw x3f 3fr iiq erf heic heics heif heifs hif"
_OF_PROGRAMS = "avif avifs jxl jxr wdp hdp svg svgz psd psb xcf kra ico tga exr hdr dds qoi eps pcx"
_UNREAD_SUFFIXES = frozenset(f".{end}" for ends in (_OF_CAMERAS, _OF_PROGRAMS) for end in ends.split())
_ORIENTATION = 0x0112
_SIDEWAYS = range(5, 9)


def is_picture(file: Path) -> bool:
    """Whether the file is called like a picture that can be read; a link that leads nowhere may be."""
    return file.suffix.lower() in SUFFIXES and (file.is_file() or (file.is_symlink() and not file.is_dir()))


def is_unread_picture(file: Path) -> bool:
    """Whether the file is called like a picture of a file type that cannot be read."""
    return file.suffix.lower() in _UNREAD_SUFFIXES - SUFFIXES


def has_picture(file: Path) -> bool:
    """Whether the file's content is a picture that could be read, whatever it is called."""
    try:
        if not file.is_file():  # to open a pipe would be to wait for ever
            return False
        with Image.open(file, formats=_FORMATS):
            return True
    except Exception:
        return False


def load_image(row: Row, side: int) -> np.ndarray:
    """What the row's view shows: uint8, H x W x 3, RGB, of the view's size or `side` x `side`."""
    shown = _cropped(open_rgb(row.image), row.view, side)
    return np.asarray(shown.resize(target_size(row.view, side), Image.Resampling.LANCZOS), dtype=np.uint8)


def load_mask(row: Row, side: int, size: tuple[int, int]) -> np.ndarray:
    """The row's mask, mirrored and cropped like its image, averaged down to `size` (width, height).

    float32 in [0, 1], H x W. `side` is the model's, as for `load_image`.
    """
    assert row.mask is not None, "rows without a mask are refused before"
    shown = _cropped(open_rgb(row.mask, over="black"), row.view, side).convert("L")
    return np.asarray(shown.resize(size, Image.Resampling.BOX), dtype=np.float32) / 255


def refuse_maskless(rows: Iterable[Row]) -> None:
    """Raise DataError for the first row without a mask."""
    for row in rows:
        if row.mask is None:
            raise DataError(
                f"'{row.image}' has no mask, but a term or the map reads one; give each row a 'mask', "
                "an image that is white where the target is"
            )


def target_size(view: View, side: int) -> tuple[int, int]:
    """Width and height of what is trained on."""
    return view.size or (side, side)


def time_sizes(row: Row, side: int) -> tuple[float, ...]:
    """What SDXL is told of the picture: height and width of the original, top and left of the crop in the
    resized image, height and width of the target (Podell et al. 2023, arXiv 2307.01952, section 2.2).
    """
    original, target = upright_size(row.image), target_size(row.view, side)
    left, top, right, _ = _box(original, row.view, target)
    scale = target[0] / (right - left)
    return original[1], original[0], round(top * scale), round(left * scale), target[1], target[0]


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image after its EXIF rotation, from its header alone."""
    try:
        with Image.open(path, formats=_FORMATS) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(_ORIENTATION) in _SIDEWAYS else (width, height)
    except Exception as error:
        raise _undecodable(path, error) from None


def open_rgb(path: Path, *, over: str = "white") -> Image.Image:
    """Decode an image of any mode to RGB, upright by its EXIF tag, transparency laid `over` a colour.

    Raises DataError for a file that is missing, not an image, or cut short.
    """
    try:
        if not path.is_file():  # to read a pipe would be to wait for ever
            raise DataError(f"image '{path}' does not exist; put it there or drop its row")
        with Image.open(path, formats=_FORMATS) as opened:
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            return _to_rgb(upright, over)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error and others
        raise _undecodable(path, error) from None


def kept_images() -> Path:
    """The folder in spf's cache of images that lie in no file of their own; it may not be there yet."""
    return cache_folder() / "datasets"


def keep_image(content: bytes, suffix: str = "") -> Path:
    """Write an image's bytes to spf's cache, once, under their own hash, and return the file.

    For images inside of another file, such as an archive or a database. `suffix` is kept where it is one of
    an image that spf reads, as in `.png`. The bytes are not decoded.
    """
    suffix = suffix.lower()
    name = hashlib.sha256(content).hexdigest() + (suffix if suffix in SUFFIXES else "")
    file = kept_images() / name
    if not file.is_file() or file.stat().st_size != len(content) or file.read_bytes() != content:
        with atomic_file(file) as temporary:
            temporary.write_bytes(content)
    return file


def _undecodable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"image '{path}' cannot be decoded ({reason}); replace it or drop its row")


def _cropped(picture: Image.Image, view: View, side: int) -> Image.Image:
    if view.flip:
        picture = ImageOps.mirror(picture)
    return picture.crop(_box(picture.size, view, target_size(view, side)))


def _box(size: tuple[int, int], view: View, target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the largest crop of the target's shape, in the mirrored image."""
    width = max(1, min(size[0], round(size[1] * target[0] / target[1])))
    height = max(1, min(size[1], round(size[0] * target[1] / target[0])))
    left, top = int(view.x * (size[0] - width)), int(view.y * (size[1] - height))
    return left, top, left + width, top + height


def _to_rgb(picture: Image.Image, over: str) -> Image.Image:
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _to_eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, over), layer).convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Rescale 16-bit and float greys, which Pillow would clip at 255."""
    values = np.asarray(picture, dtype=np.float64)
    top = 65535.0 if picture.mode.startswith("I") else 1.0 if values.max() <= 1 else 255.0
    return Image.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8))
