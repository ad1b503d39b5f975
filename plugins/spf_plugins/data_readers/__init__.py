"""Data readers: the layouts of training data that spf reads, in the order in which they are asked."""

from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.plugins import DataReaderConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import DataReader


class MetadataJsonl(DataReaderConfig):
    """A table metadata.jsonl with a JSON object on each line, beside its images."""

    name = "metadata-jsonl"
    reads = "metadata.jsonl: one JSON object a line with file_name, base_text, target_text"

    def build(self) -> "DataReader":
        """Return the reader."""
        from spf_plugins.data_readers.tables import JsonTable

        return JsonTable()

    def sample(self, folder: Path) -> str:
        """Four rows."""
        from spf_plugins.data_readers.samples import write_jsonl

        return write_jsonl(folder)


class MetadataCsv(DataReaderConfig):
    """A table metadata.csv with the columns of metadata.jsonl, beside its images."""

    name = "metadata-csv"
    reads = "metadata.csv"

    def build(self) -> "DataReader":
        """Return the reader."""
        from spf_plugins.data_readers.tables import CsvTable

        return CsvTable()

    def sample(self, folder: Path) -> str:
        """Four rows."""
        from spf_plugins.data_readers.samples import write_csv

        return write_csv(folder)


class HfDataset(DataReaderConfig):
    """A dataset of the datasets library: an id of the Hugging Face hub, or a folder of tables."""

    name = "hf-dataset"
    reads = "a dataset of the datasets library"

    def build(self) -> "DataReader":
        """Return the reader."""
        from spf_plugins.data_readers.hugging_face import HuggingFaceDataset

        return HuggingFaceDataset()

    def sample(self, folder: Path) -> str:
        """Four rows with images in the table; Unavailable without the library."""
        from spf_plugins.data_readers.samples import write_dataset

        return write_dataset(folder)


class CaptionedImages(DataReaderConfig):
    """Images with caption files of the same name, also in kohya's sub-folders NUMBER_NAME."""

    name = "captioned-images"
    reads = "images with .txt captions"

    def build(self) -> "DataReader":
        """Return the reader."""
        from spf_plugins.data_readers.captioned import CaptionedFolder

        return CaptionedFolder()

    def sample(self, folder: Path) -> str:
        """Four images with captions."""
        from spf_plugins.data_readers.samples import write_captioned

        return write_captioned(folder)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the readers. The first that recognises a source reads it."""
    for config in (MetadataJsonl, MetadataCsv, HfDataset, CaptionedImages):
        register(config)
