"""`spf demo`: from nothing to a learnt attribute, with pictures and numbers."""
from pathlib import Path
from typing import Annotated

import typer


def demo(out: Annotated[Path, typer.Option(help="x")] = Path("demo")) -> None:
    """x."""
