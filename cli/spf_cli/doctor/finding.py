"""One thing that was looked at. Torch-free."""

from dataclasses import dataclass
from typing import Literal

State = Literal["fine", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was found; a `note` limits what can be done, `broken` stops it, and both have a way out."""

    subject: str
    state: State
    found: str
    way_out: str = ""
