"""The outermost frame of the `spf` command: however it ends, it ends with one line and an exit code."""

import sys
from collections.abc import Sequence
from typing import NoReturn

from spf_core.utils.interrupts import listening


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; whatever goes wrong becomes one line on stderr and an exit code.

    Everything else is imported inside: Ctrl-C may come while Python still reads files.
    """
    with listening(last=argv is None) as interrupts:
        try:
            from spf_cli.app import run

            code = run(argv)
            interrupts.ignore()
        except BaseException as error:
            interrupts.ignore()
            from spf_cli.faults import end

            end(error)
    sys.exit(code)
