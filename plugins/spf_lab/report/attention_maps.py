"""The one part of the page that needs the model: attention and control map for a prompt."""

from dataclasses import dataclass
from pathlib import Path

from spf_core.errors import SpfError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import open_run
from spf_core.utils.private import without_places
from spf_core.utils.prompts import Prompt
from spf_lab.attention.maps import attention_maps
from spf_lab.attention.words import words_of
from spf_lab.report.html import Html
from spf_lab.report.strips import missing, strips


@dataclass(frozen=True)
class Subject:
    """The prompt to sample, and the word of it whose attention the page shows."""

    prompt: Prompt
    token: str
    seed: int = 0


def subject_of(base_text: str, target_text: str, target: str = "", seed: int = 0) -> Subject:
    """Look at the target's name where the target text says it, or else at the whole target text."""
    named = target if target in words_of(target_text) else target_text
    return Subject(Prompt(base_text, target_text or None), named, seed)


def look(run: Path, plugins: Plugins, subject: Subject | None, device: str) -> Html:
    """Attention maps of the run, or why there are none: the rest of the page does not depend on them."""
    if subject is None:
        return missing("there is no prompt; give one with --prompt and --target.")
    try:
        opened = open_run(run, plugins, device=device)
        return strips(
            attention_maps(opened, subject.prompt, subject.token, opened.config.sample, seed=subject.seed)
        )
    except SpfError as error:
        return missing(without_places(str(error)))
