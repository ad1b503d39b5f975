"""Checks of trackers: what a run gives them, in the order in which it does."""

from pathlib import Path

from PIL import Image

from spf_core.interfaces import Tracker
from spf_core.testing.subject import Check, Failure, Subject
from spf_core.testing.watching import CPU, other_chance
from spf_core.training.trackers import make_accelerator, settings_of


def listens(subject: Subject) -> None:
    """It takes settings, numbers and pictures, and finishes; nothing that it gets is changed."""
    run, tracker = _run(subject, "listens"), _tracker(subject)
    picture = Image.new("RGB", (48, 32), "red")
    numbers = {"loss": 0.5, "terms/denoising": 0.25, "learning_rate": 1e-4}
    given, pixels = dict(numbers), picture.tobytes()
    tracker.start(run, settings_of(subject.run_config), 0)
    for step in (1, 2, 3):
        tracker.log(step, numbers)
    tracker.pictures(2, {"grid": picture, "maps": picture})
    tracker.log(3, {"purity/sps": float("nan")})
    tracker.finish()
    if numbers != given or picture.tobytes() != pixels:
        raise Failure("it changes the numbers or pictures that it gets, which others read; change a copy")


def ends_early(subject: Subject) -> None:
    """A run that ends before its first step starts it and finishes it."""
    tracker = _tracker(subject)
    tracker.start(_run(subject, "ends"), settings_of(subject.run_config), 0)
    tracker.finish()


def goes_on(subject: Subject) -> None:
    """After a run was killed, another object goes on in the same folder."""
    run, settings = _run(subject, "goes-on"), settings_of(subject.run_config)
    killed = _tracker(subject)
    killed.start(run, settings, 0)
    for step in (1, 2, 3, 4):
        killed.log(step, {"loss": 1 / step})
    again = _tracker(subject)
    again.start(run, settings, 2)
    for step in (3, 4, 5):
        again.log(step, {"loss": 1 / step})
    again.finish()


def leaves_chance(subject: Subject) -> None:
    """The global random states of torch, `random` and numpy are what they were."""
    with other_chance() as changed_states:
        listens(subject)
        changed = changed_states()
    if changed:
        raise Failure(
            f"it changes the global random state of {', '.join(changed)}; draw from a generator of its own"
        )


def _tracker(subject: Subject) -> Tracker:
    make_accelerator(subject.run_config.train, CPU)  # trackers of Accelerate ask it which process this is
    return subject.build()  # type: ignore[no-any-return]


def _run(subject: Subject, name: str) -> Path:
    folder = subject.folder / name
    folder.mkdir(exist_ok=True)
    return folder


TRACKERS: tuple[tuple[str, Check], ...] = (
    ("takes settings, numbers and pictures, and finishes", listens),
    ("finishes before the first step", ends_early),
    ("goes on in the folder of a killed run", goes_on),
    ("leaves the global random states alone", leaves_chance),
)
