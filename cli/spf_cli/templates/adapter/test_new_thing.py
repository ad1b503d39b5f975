"""The adapter keeps the contract of its kind, and trains what it says."""

from spf_core.testing import check_adapter, tiny_backbone

from spf_cli.templates.adapter import NewThing


def test_it_keeps_the_contract_of_an_adapter() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_adapter(NewThing)


def test_targets_choose_the_layers() -> None:
    """With one ending there is a gain for each such layer, and for no other."""
    adapter = NewThing(targets=("to_v",)).build()
    adapter.attach(tiny_backbone())
    assert adapter.state_dict()
    assert all(name.endswith("to_v") for name in adapter.state_dict())
