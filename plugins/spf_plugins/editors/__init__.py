"""Prompt editors: training-free changes of the text embeddings at sampling."""

from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import PromptEditorConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import PromptEditor

_NOUNS = (
    "person man woman child face hair eyes mouth skin beard hat cap scarf shirt dress jacket coat blazer "
    "hoodie glasses necklace earring car house tree flower dog cat bird horse table chair cup book ball "
    "boat bag apple sky wall room street park beach mountain painting photo drawing "
)


class MagnetEditor(PromptEditorConfig):
    """Moves each word's embedding towards its own attribute and away from those of other words (Magnet)."""

    name = "magnet-editor"
    neighbours: int = Field(
        5, ge=1, description="Number of similar nouns that show what a concept's attribute does."
    )
    nouns: tuple[str, ...] = Field(
        tuple(_NOUNS.split()),
        min_length=1,
        description="Nouns among which the editor looks for similar ones.",
    )

    def build(self) -> "PromptEditor":
        """Build the editor."""
        from spf_plugins.editors.magnet import Magnet

        return Magnet(self.neighbours, self.nouns)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(MagnetEditor)
