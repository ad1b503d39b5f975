"""The score keeps the contract of its kind."""

from spf_core.testing import check_score

from spf_cli.templates.score import NewThing


def test_it_keeps_the_contract_of_a_score() -> None:
    """The checks of `spf plugins check`."""
    check_score(NewThing)
