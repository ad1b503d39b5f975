"""The command line run in-process."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from spf_cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def fails_with(self, *words: str) -> bool:
        """Exit code 2 and a single line on stderr that holds every word."""
        assert self.code == 2, self
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: "), self.err
        missing = [word for word in words if word not in self.err]
        assert not missing, (missing, self.err)
        return True


Spf = Callable[..., Outcome]


def run_spf(*args: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
        main([str(arg) for arg in args])
    return Outcome(int(stopped.value.code or 0), out.getvalue(), err.getvalue())


def verdicts(outcome: Outcome) -> dict[str, str]:
    """The verdict of each check in a table of `spf plugins check`."""
    found = re.findall(r"^(\S.*?) {2,}(passed|failed|not applicable)\b", outcome.out, re.MULTILINE)
    return dict(found)
