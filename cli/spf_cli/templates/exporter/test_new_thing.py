"""The exporter keeps the contract of its kind."""

from spf_core.testing import check_exporter

from spf_cli.templates.exporter import NewThing


def test_it_keeps_the_contract_of_an_exporter() -> None:
    """The checks of `spf plugins check`: a run is trained and written."""
    check_exporter(NewThing)
