"""Units of work that several processes share: each takes what is neither finished nor held by another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from spf_core.errors import InterruptedRunError, SpfError
from spf_core.runs.file_locks import Claim, claimed, holder, sweep

Unit = TypeVar("Unit")


@dataclass
class Pass(Generic[Unit]):
    """What a pass over the units left: failed ones with their errors, and who else holds which."""

    failed: dict[Unit, SpfError] = field(default_factory=dict)
    elsewhere: dict[Unit, str] = field(default_factory=dict)


def run_if_free(
    unit: Unit,
    folder: Path,
    finished: Callable[[], bool],
    work: Callable[[Claim], None],
    outcome: Pass[Unit],
) -> None:
    """Do the unit's work while holding its folder, unless another process does; `outcome` notes what failed.

    Raises InterruptedRunError and KeyboardInterrupt on Ctrl-C.
    """
    with claimed(folder) as claim:
        if claim is None:
            outcome.elsewhere[unit] = holder(folder) or "another process"
        elif not finished():
            try:
                work(claim)
            except InterruptedRunError:
                raise
            except SpfError as error:
                outcome.failed[unit] = error
    if finished():
        sweep(folder)
