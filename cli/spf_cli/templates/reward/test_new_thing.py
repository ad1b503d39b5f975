"""The reward keeps the contract of its kind, and prefers what it says."""

import torch
from spf_core.testing import check_reward, tiny_backbone

from spf_cli.templates.reward import NewThing


def test_it_keeps_the_contract_of_a_reward() -> None:
    """The checks of `spf plugins check`."""
    check_reward(NewThing)


def test_colour_is_better_than_grey() -> None:
    """A red picture gets more than a grey one."""
    red, grey = torch.zeros(3, 8, 8), torch.zeros(3, 8, 8)
    red[0] = 1
    rewards = NewThing().build()(tiny_backbone(), torch.stack([red, grey]), [])
    assert float(rewards[0]) > float(rewards[1])
