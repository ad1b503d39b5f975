"""Words of a prompt, as a user names them. Torch-free."""

import re

from spf_core.errors import ConfigError
from spf_core.utils.prompts import Prompt

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def words_of(text: str) -> tuple[str, ...]:
    """The words in order, each once."""
    return tuple(dict.fromkeys(_WORD.findall(text)))


def find_token(prompt: Prompt, token: str) -> tuple[int, int]:
    """Character span of the last occurrence of a word or phrase in the complete text, in any case.

    The target comes last, and a word of it is what is asked for most. ConfigError names the words there are.
    """
    wanted = re.escape(" ".join(token.split()))
    found = list(re.finditer(rf"(?<!\w){wanted}(?!\w)", prompt.complete_text, re.IGNORECASE))
    if not wanted or not found:
        known = ", ".join(words_of(prompt.complete_text))
        raise ConfigError(f"--token '{token}': the prompt has no such word; it has: {known}")
    return found[-1].span()


def singled_out(prompt: Prompt, span: tuple[int, int]) -> Prompt:
    """The complete text as a base text whose last phrase is what `span` covers."""
    text = prompt.complete_text
    before, chosen = text[: span[0]], text[slice(*span)]
    return Prompt(text, None, (before, chosen) if before else (chosen,))
