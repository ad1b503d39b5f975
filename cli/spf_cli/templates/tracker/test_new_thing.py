"""The tracker keeps the contract of its kind, and writes what it gets."""

from pathlib import Path

from spf_core.testing import check_tracker

from spf_cli.templates.tracker import NewThing
from spf_cli.templates.tracker.tracker import NewThingTracker


def test_it_keeps_the_contract_of_a_tracker() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_tracker(NewThing)


def test_a_resumed_run_has_every_step_once(tmp_path: Path) -> None:
    """A second process goes on from step 1, and computes step 2 again."""
    for first, steps in ((0, (1, 2)), (1, (2, 3))):
        tracker = NewThingTracker("numbers")
        tracker.start(tmp_path, {"train.steps": 3}, first)
        for step in steps:
            tracker.log(step, {"loss": 1 / step})
        tracker.finish()
    assert [row[0] for row in tracker.rows()] == ["1", "2", "3"]
