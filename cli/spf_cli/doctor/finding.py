"""The result of one check. Torch-free."""

from dataclasses import dataclass
from typing import Literal

State = Literal["fine", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """The result; a `note` limits what can be done, `broken` prevents it, and both have a way out."""

    subject: str
    state: State
    found: str
    way_out: str = ""
