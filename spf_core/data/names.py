"""What files of a training folder are called: captions, masks, and the folder of masks. Torch-free."""

from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data.files import visible
from spf_core.data.images import is_picture

CAPTION_SUFFIXES = (".txt", ".caption")
MASK_ENDING = "-masklabel"


def is_caption(file: Path) -> bool:
    """Whether the file is called like a caption."""
    return file.suffix.lower() in CAPTION_SUFFIXES and file.is_file()


def is_mask(file: Path) -> bool:
    """Whether the file is called like a mask that lies beside its image."""
    return file.stem.lower().endswith(MASK_ENDING) and is_picture(file)


def masks_folder(folder: Path, options: DatasetSection) -> Path:
    """The folder of masks, which may be called in upper or lower case."""
    masks = folder / options.masks
    if masks.is_dir() or not masks.parent.is_dir():
        return masks
    alike = (each for each in visible(masks.parent) if each.name.casefold() == masks.name.casefold())
    return next((each for each in alike if each.is_dir()), masks)
