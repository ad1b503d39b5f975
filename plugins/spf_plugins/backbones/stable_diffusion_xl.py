"""SDXL's architecture (Podell et al. 2023, arXiv 2307.01952), at any size, as a backbone."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from spf_core.interfaces import Conditioning
from spf_plugins.backbones import layouts, loading
from spf_plugins.backbones.stable_diffusion import TEXTS_AT_ONCE, StableDiffusion
from spf_plugins.backbones.tokens import Tokens, tokenize


class StableDiffusionXL(StableDiffusion):
    """A frozen `StableDiffusionXLPipeline` with a CLIP model; satisfies `interfaces.Backbone`.

    Two encoders read every text: cross-attention sees the states before their last layers side by side,
    and the second one's projection is the pooled embedding. Both tokenizers cut a text in the same places, so
    that phrases have one span; they only pad differently. The sizes say: neither resized nor cropped.
    """

    layout = layouts.SDXL
    loop_names: Mapping[str, str] = {"pooled_prompt_embeds": "add_text_embeds"}

    def pipeline_inputs(self, cond: Conditioning) -> dict[str, Tensor]:
        """Encoded texts under the names of the pipeline's arguments."""
        return {"prompt_embeds": cond.embeds_BLD, "pooled_prompt_embeds": cond.pooled_BD}

    @cached_property
    def _pipeline(self) -> Any:
        return loading.make_pipeline(
            self.layout, self._parts, force_zeros_for_empty_prompt=self._zeros_for_empty
        )

    @property
    def _zeros_for_empty(self) -> bool:
        return bool(self._index.get("force_zeros_for_empty_prompt", True))

    def _encode_texts(self, texts: Sequence[str], tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Hidden states of both encoders, B L D1+D2, and the second one's pooled embedding, B D2.

        Where the model was trained on zeros in place of an empty text, an empty text is that.
        """
        ids_BL = tokenize(self._parts["tokenizer_2"], texts, self.clip_tokens).ids_BL
        embeds, pooled = [], []
        for first, second in zip(
            torch.split(tokens.ids_BL, TEXTS_AT_ONCE), torch.split(ids_BL, TEXTS_AT_ONCE), strict=True
        ):
            one = self._read(self.text_encoder, first, output_hidden_states=True)
            two = self._read(self._parts["text_encoder_2"], second, output_hidden_states=True)
            embeds.append(torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1))
            pooled.append(two.text_embeds)
        embeds_BLD, pooled_BD = (torch.cat(each).float().to(self.device) for each in (embeds, pooled))
        if self._zeros_for_empty:
            said_B = torch.tensor([bool(text) for text in texts], device=self.device).float()
            embeds_BLD, pooled_BD = embeds_BLD * said_B[:, None, None], pooled_BD * said_B[:, None]
        return embeds_BLD, pooled_BD

    def _sizes(self, count: int) -> Tensor:
        """Original height and width, top and left of the crop, target height and width."""
        size = float(self.image_size)
        return torch.tensor([size, size, 0.0, 0.0, size, size], device=self.device).expand(count, -1)

    def _also_read(self, cond: Conditioning) -> dict[str, Any]:
        return {"added_cond_kwargs": {"text_embeds": cond.pooled_BD, "time_ids": cond.sizes_B6}}
