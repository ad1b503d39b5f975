"""A prompt editor that prints what a process writes, and waits or is interrupted at work."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spf_core.plugins import PromptEditorConfig, Register, hookimpl
from spf_core.utils.prompts import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from spf_core.interfaces import Backbone, PromptEditor


def written(event: str, arguments: tuple[Any, ...]) -> None:
    writes = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir"} or (
        event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    )
    if writes and any(place in str(arguments[0]) for place in ("/evaluations/", "/cache")):
        print(f"written by {os.environ.get('RANK', 0)}: {arguments[0]}")


if "EVALUATION" in os.environ:
    sys.addaudithook(written)


class Watched(PromptEditorConfig):
    """Reads the texts as they are, and waits or is interrupted where the test asks for it."""

    name = "watched"

    def build(self) -> "PromptEditor":
        return read


def read(backbone: "Backbone", texts: Sequence[str]) -> "Tensor":
    name = os.environ.get("EVALUATION")
    if name == "interrupt" and os.environ["RANK"] == "1":
        signal.raise_signal(signal.SIGINT)
    if name == "wait":
        os.write(1, b"waiting\n")  # at once: lines of two processes must not mix
        signal.pause()
    return backbone.encode_prompts([Prompt(text) for text in texts], with_target=False).embeds_BLD


@hookimpl
def spf_register(register: Register) -> None:
    register(Watched)
