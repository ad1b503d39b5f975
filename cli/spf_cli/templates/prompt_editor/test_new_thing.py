"""The editor keeps the contract of its kind, and changes what it says."""

import torch
from spf_core.interfaces import Prompt
from spf_core.testing import check_prompt_editor, tiny_backbone

from spf_cli.templates.prompt_editor import NewThing


def test_it_keeps_the_contract_of_a_prompt_editor() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_prompt_editor(NewThing)


def test_strength_1_leaves_the_text_as_it_is() -> None:
    """At strength 1 the embeddings are those of the backbone."""
    backbone = tiny_backbone()
    plain = backbone.encode_prompts([Prompt("an old man")], with_target=False).embeds_BLD
    edited = NewThing(strength=1).build()(backbone, ["an old man"])
    torch.testing.assert_close(edited, plain)
