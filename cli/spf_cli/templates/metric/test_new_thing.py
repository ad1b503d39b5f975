"""The metric keeps the contract of its kind, and measures what it says."""

from PIL import Image
from spf_core.testing import TinySuite, check_metric

from spf_cli.templates.metric import NewThing


def test_it_keeps_the_contract_of_a_metric() -> None:
    """The checks of `spf plugins check`."""
    check_metric(NewThing)


def test_black_and_white_lie_1_apart() -> None:
    """The distance of the most different pictures is 1."""
    black, white = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    metric = NewThing().build()
    assert metric(TinySuite(), [black], [white], None, "hat").tolist() == [1]
