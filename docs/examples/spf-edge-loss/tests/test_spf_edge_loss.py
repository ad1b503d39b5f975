"""The loss keeps the contract of a loss, and compares edges outside the map."""

from dataclasses import replace

import torch
from spf_core.testing import check_loss, make_state

from spf_edge_loss import EdgeAlignment
from spf_edge_loss.edges import edges


def test_it_keeps_the_contract_of_a_loss() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_loss(EdgeAlignment)


def test_edges_are_differences_of_neighbours() -> None:
    """A step across the columns is an edge across, and none down."""
    picture = torch.zeros(1, 1, 4, 4)
    picture[..., 2:] = 1
    across, down = edges(picture)
    assert across[0, 0, 0].tolist() == [0, 1, 0]
    assert down.sum() == 0


def test_it_is_0_where_the_paths_agree_and_inside_the_map() -> None:
    """Only a difference outside the control map counts."""
    state = make_state("sd15", EdgeAlignment.needs)
    term = EdgeAlignment(max_timestep=1).build()
    assert state.reference is not None
    assert state.map_B1HW is not None
    outside = replace(state, map_B1HW=torch.zeros_like(state.map_B1HW))
    assert float(term(outside)) > 0
    assert float(term(replace(outside, reference=state.response))) == 0
    assert float(term(replace(state, map_B1HW=torch.ones_like(state.map_B1HW)))) == 0
