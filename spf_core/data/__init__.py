"""Training data: folders and datasets of images with their base and target texts. Torch-free."""

from spf_core.data.folder import FolderReport, check_folder, holds_data, read_folder, readable_rows
from spf_core.data.images import load_image, load_mask, open_rgb, refuse_maskless, time_sizes
from spf_core.data.row import Row, View
from spf_core.data.tables import JSONL as METADATA

__all__ = [
    "METADATA",
    "FolderReport",
    "Row",
    "View",
    "check_folder",
    "holds_data",
    "load_image",
    "load_mask",
    "open_rgb",
    "read_folder",
    "readable_rows",
    "refuse_maskless",
    "time_sizes",
]
