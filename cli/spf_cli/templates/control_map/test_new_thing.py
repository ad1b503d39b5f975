"""The map keeps the contract of a control map, and computes what it says."""

from dataclasses import replace

from spf_core.testing import check_control_map, make_state

from spf_cli.templates.control_map import NewThing


def test_it_keeps_the_contract_of_a_control_map() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_control_map(NewThing)


def test_it_is_0_where_the_paths_agree() -> None:
    """A target to which the response does not react has no region."""
    state = make_state("sd15", NewThing.needs)
    assert state.reference is not None
    agreeing = replace(state, reference=state.response)
    control_map = NewThing().build()
    assert float(control_map(state).amax()) == 1
    assert float(control_map(agreeing).amax()) == 0
