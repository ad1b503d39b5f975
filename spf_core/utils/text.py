"""Texts that a user gives. Torch-free."""

import re

_NOT_TAKEN = re.compile("[\0\ud800-\udfff]")


def text_fault(text: str) -> str | None:
    """Why no tokenizer takes the text, as the end of a sentence about it; None for a text that all take.

    Every text that a user gives goes through here: rows, prompts, settings, texts of a study.
    """
    found = _NOT_TAKEN.search(text)
    if found is None:
        return None
    what = "half of a character"
    if found[0] == "\0":
        what = "a NUL character"
    elif "\udc80" <= found[0] <= "\udcff":  # Python's sign for a byte of an argument that is no UTF-8
        what = "a byte that is no UTF-8, or half of a character,"
    before, last = text.count("\n", 0, found.start()), text.rfind("\n", 0, found.start())
    place = f"position {found.start() - last}" + (f" of line {before + 1}" if before else "")
    return f"holds {what} at {place}, which no tokenizer takes; write the text anew, in UTF-8"
