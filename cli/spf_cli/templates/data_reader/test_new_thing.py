"""The reader keeps the contract of its kind, and reads what it says."""

from pathlib import Path

from spf_core.data import DatasetSection, check_folder
from spf_core.testing import check_data_reader

from spf_cli.templates.data_reader import NewThing
from spf_cli.templates.data_reader.reader import write_rows

HAT = DatasetSection(trigger="wearing a hat")


def test_it_keeps_the_contract_of_a_data_reader() -> None:
    """The checks of `spf plugins check`."""
    check_data_reader(NewThing)


def test_the_trigger_splits_a_caption(tmp_path: Path) -> None:
    """The words of the trigger are the target text, and the others the base text."""
    write_rows(tmp_path / NewThing().table, ["a man, wearing a hat"])
    (row,) = check_folder(tmp_path, HAT, NewThing()).rows
    assert (row.base_text, row.target_text) == ("a man", "wearing a hat")


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The other rows are still read."""
    write_rows(tmp_path / NewThing().table, ["a man, wearing a hat", "a man"])
    report = check_folder(tmp_path, HAT, NewThing())
    assert len(report.rows) == 1
    assert "entry 1" in report.problems[0]
