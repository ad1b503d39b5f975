"""The term keeps the contract of a loss, and computes what it says."""

from dataclasses import replace

from spf_core.testing import check_loss, make_state

from spf_edge_glow import EdgeGlow


def test_it_keeps_the_contract_of_a_loss() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_loss(EdgeGlow)


def test_it_is_0_where_the_paths_agree() -> None:
    """A response equal to the reference costs nothing."""
    state = make_state("sd15", EdgeGlow.needs)
    assert state.reference is not None
    term = EdgeGlow().build()
    assert float(term(state)) > 0
    assert float(term(replace(state, response=state.reference))) == 0
