"""The term keeps the contract of a response enhancement, and computes what it says."""

from dataclasses import replace

import torch
from spf_core.testing import check_response, make_state

from spf_cli.templates.response import NewThing


def test_it_keeps_the_contract_of_a_response_enhancement() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_response(NewThing)


def test_rows_without_their_target_do_not_count() -> None:
    """A batch in which no row reads its target costs nothing."""
    state = make_state("sd15", NewThing.needs)
    term = NewThing().build()
    assert float(term(state).detach()) > 0
    nothing = replace(state, has_target_B=torch.zeros(4, dtype=torch.bool))
    assert float(term(nothing).detach()) == 0
