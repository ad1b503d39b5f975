"""`spf plugins new`: a package with a new component, to fill in."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spf_cli.plugins.kinds import COMMAND, NEW_KINDS


class Licence(StrEnum):
    """The licence of a new package."""

    APACHE = "Apache-2.0"
    MIT = "MIT"
    BSD = "BSD-3-Clause"


def new_plugin(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"What it adds: {', '.join(NEW_KINDS[:-1])} or {COMMAND}.",
            autocompletion=lambda: list(NEW_KINDS),
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in kebab case, such as edge-loss.")],
    out: Annotated[
        Path | None, typer.Option(help="A folder that is new or empty.", show_default="spf-NAME")
    ] = None,
    license_: Annotated[
        Licence, typer.Option("--license", help="The licence whose text the package gets.")
    ] = Licence.APACHE,
    author: Annotated[
        str, typer.Option(help="Your name, for the licence.", show_default="the authors of the package")
    ] = "",
) -> None:
    """Write a package with a new component: an example that works, with tests, to change into your own."""
    from spf_cli.plugins.scaffold import plan
    from spf_cli.render import say

    package = plan(kind, name, out, str(license_), author)
    package.write()
    say(f"'{package.out}' holds {kind} '{name}' as the package {package.distribution}. Next:")
    for line in package.next_commands:
        say(f"  {line}")
