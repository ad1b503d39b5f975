"""The preset keeps the contract of its kind."""

from spf_core.testing import check_preset

from spf_cli.templates.preset import NewThing


def test_it_keeps_the_contract_of_a_preset() -> None:
    """The checks of `spf plugins check`: five training steps with its settings, and resuming."""
    check_preset(NewThing)
