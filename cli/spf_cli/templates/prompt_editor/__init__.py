"""A prompt editor for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import PromptEditorConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import PromptEditor


class NewThing(PromptEditorConfig):
    """Moves the embeddings of a text away from those of the empty text."""

    name = "new-thing"
    strength: float = Field(1.1, ge=0, description="1 leaves the text as it is, more emphasises it.")

    def build(self) -> "PromptEditor":
        """Build the editor."""
        from spf_cli.templates.prompt_editor.editor import NewThingEditor

        return NewThingEditor(self.strength)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
