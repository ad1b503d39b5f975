"""The optimizer keeps the contract of its kind, and steps as it says."""

import torch
from spf_core.testing import check_optimizer

from spf_cli.templates.optimizer import NewThing


def test_it_keeps_the_contract_of_an_optimizer() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_optimizer(NewThing)


def test_every_value_moves_by_the_learning_rate() -> None:
    """Large and small gradients move their values alike, in opposite directions for opposite signs."""
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = NewThing(learning_rate=0.1).build()([{"params": [weight], "lr": 0.1}])
    weight.grad = torch.tensor([1.0, -1e-3, 0.0])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.1, 0.1, 0.0]))
