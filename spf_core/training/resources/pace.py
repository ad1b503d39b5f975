"""How far planned stages are and how long they will take, from what they report. Torch-free."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock

from spf_core.utils.progress import PlannedStage

RECENT = 10  # reports that the pace is taken from: units that were read from disk soon count no more


@dataclass
class Pace:
    """One stage: what is done of it, since when, and how long the rest takes."""

    name: str
    total: int
    started: float
    planned: bool = False
    passes: float = 0.0
    done: int = 0
    spent: float = 0.0  # seconds until the newest report
    _before: int = 0  # units of earlier parts, as of other buckets
    _reports: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def report(self, done: int, total: int, now: float) -> None:
        """`done` of `total`; a part that begins again adds to what was done before."""
        if self._before + done < self.done:
            self._before = self.done
        if not self._reports:
            self._reports.append((now, done))  # where a resumed stage goes on
        self.done = self._before + done
        self.total = max(self.total, self._before + total)
        self.spent = now - self.started
        if self.done > self._reports[-1][1]:
            self._reports.append((now, self.done))

    @property
    def finished(self) -> bool:
        """Whether all units are done."""
        return self.done >= self.total

    @property
    def seconds_per_unit(self) -> float | None:
        """Of the last units; None before the first."""
        (first, before), (last, done) = self._reports[0], self._reports[-1]
        return (last - first) / (done - before) if done > before else None


class Paces:
    """All stages of a plan. Without a plan, those that have reported.

    One thread may report while another asks how long the rest takes.
    """

    def __init__(self) -> None:
        """No plan, and nothing heard yet."""
        self._plan: dict[str, PlannedStage] = {}
        self._stages: dict[str, Pace] = {}
        self._lock = RLock()

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """These stages follow, in this order."""
        with self._lock:
            self._plan = {stage.name: stage for stage in stages}
            self._stages = {}

    def report(self, stage: str, done: int, total: int) -> Pace:
        """What is known of the stage after this report."""
        with self._lock:
            now, planned = time.monotonic(), self._plan.get(stage)
            pace = self._stages.get(stage)
            if pace is None or (planned is None and done < pace.done):
                pace = Pace(stage, total, now)
                if planned:
                    pace = Pace(stage, planned.units, now, planned=True, passes=planned.passes)
                self._stages[stage] = pace
            pace.report(done, total, now)
            return pace

    def title(self, stage: str) -> str:
        """`stage 2 of 6: NAME`; the name alone where no plan has it."""
        names = list(self._plan)
        return f"stage {names.index(stage) + 1} of {len(names)}: {stage}" if stage in names else stage

    def left(self, pace: Pace) -> float | None:
        """Seconds until the stage ends; None where nothing tells yet."""
        with self._lock:
            if pace.finished:
                return 0.0
            each = pace.seconds_per_unit or self._expected(pace.passes)
            since = time.monotonic() - pace.started - pace.spent
            return None if each is None else max(each * (pace.total - pace.done) - since, 0.0)

    def left_in_all(self) -> float | None:
        """Seconds until the last planned stage ends, where the plan has several and something tells."""
        with self._lock:
            if len(self._plan) < 2:
                return None
            left = [self._left_of(stage) for stage in self._plan.values()]
            return None if None in left else sum(seconds or 0 for seconds in left)

    def _left_of(self, stage: PlannedStage) -> float | None:
        """Seconds that a stage still takes; 0 for a short one, without a pass of the denoiser, to come."""
        if pace := self._stages.get(stage.name):
            return self.left(pace)
        each = self._expected(stage.passes)
        return each * stage.units if each else None if stage.passes else 0.0

    def _expected(self, passes: float) -> float | None:
        """Seconds of a unit of so many passes, by the slowest stage: others were read from disk in part."""
        known = [(pace.seconds_per_unit, pace.passes) for pace in self._stages.values() if pace.passes]
        slowest = max((seconds / each for seconds, each in known if seconds), default=None)
        return None if slowest is None or not passes else slowest * passes
