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
    """Draws every word towards its own attribute and away from the others' (Magnet)."""

    name = "magnet-editor"
    neighbours: int = Field(5, ge=1, description="nouns near a concept that show what its attribute does")
    nouns: tuple[str, ...] = Field(
        tuple(_NOUNS.split()), min_length=1, description="nouns to look for neighbours in"
    )

    def build(self) -> "PromptEditor":
        """Build the editor."""
        from spf_plugins.editors.magnet import Magnet

        return Magnet(self.neighbours, self.nouns)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(MagnetEditor)
