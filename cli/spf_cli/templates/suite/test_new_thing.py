"""The suite keeps the contract of its kind, and its judge sees the target."""

from spf_core.testing import check_suite

from spf_cli.templates.suite import NewThing
from spf_cli.templates.suite.world import draw


def test_it_keeps_the_contract_of_a_suite() -> None:
    """The checks of `spf plugins check`."""
    check_suite(NewThing)


def test_its_judge_sees_a_hat() -> None:
    """A hat raises the probability of the target."""
    person = {"background": "red", "skin": "light"}
    images = [draw(person, hat=hat, size=32) for hat in (False, True)]
    without, with_hat = NewThing().build().target_probability(images, "hat").tolist()
    assert with_hat > without
