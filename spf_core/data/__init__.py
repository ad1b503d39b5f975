"""Training data: folders and datasets of images with their base and target texts. Torch-free."""

from spf_core.config.sections import DatasetSection
from spf_core.data.folder import FolderReport, check_folder, holds_data, read_folder, readable_rows
from spf_core.data.images import keep_image, load_image, load_mask, open_rgb, refuse_maskless, time_sizes
from spf_core.data.row import Caption, Reading, Row, View
from spf_core.data.tables import JSONL as METADATA
from spf_core.data.tables import csv_values, parse_json, row_of
from spf_core.data.unused import unused_files

__all__ = [
    "METADATA",
    "Caption",
    "DatasetSection",
    "FolderReport",
    "Reading",
    "Row",
    "View",
    "check_folder",
    "csv_values",
    "holds_data",
    "keep_image",
    "load_image",
    "load_mask",
    "open_rgb",
    "parse_json",
    "read_folder",
    "readable_rows",
    "refuse_maskless",
    "row_of",
    "time_sizes",
    "unused_files",
]
