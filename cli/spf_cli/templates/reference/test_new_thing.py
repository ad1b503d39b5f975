"""The path keeps the contract of a reference path."""

from spf_core.testing import check_reference

from spf_cli.templates.reference import NewThing


def test_it_keeps_the_contract_of_a_reference_path() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_reference(NewThing)
