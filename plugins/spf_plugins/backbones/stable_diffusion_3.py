"""Stable Diffusion 3's architecture (Esser et al. 2024, arXiv 2403.03206), at any size, as a backbone."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.helpers import JointAttentionSite
from spf_core.interfaces import Conditioning
from spf_core.interfaces.attention import AttentionSite
from spf_plugins.backbones import layouts
from spf_plugins.backbones.noise_processes import FlowNoise
from spf_plugins.backbones.stable_diffusion import TEXTS_AT_ONCE, StableDiffusion
from spf_plugins.backbones.tokens import Tokens, tokenize

T5_TOKENS = 256  # as diffusers' pipeline reads them, padding included


class StableDiffusion3(StableDiffusion):
    """A frozen `StableDiffusion3Pipeline` with a CLIP model; satisfies `interfaces.Backbone`.

    The denoiser is a transformer on rectified flow: it predicts the velocity eps - z_0. Three encoders read
    every text. Both CLIPs cut it in the same places and stand side by side in 77 tokens; T5 cuts it otherwise
    and follows with 256 tokens. A phrase has its tokens in both parts. T5 is not causal: it encodes the base
    text's words differently where a target follows, so paths are compared phrase by phrase.
    """

    layout = layouts.SD3

    def _noise_process(self) -> FlowNoise:
        return FlowNoise(self.scheduler)

    def attention_sites(self) -> Sequence[AttentionSite]:
        """The joint attention of every block; what SD3.5 calls `attn2` is the image's attention to itself."""
        patch = self.denoiser.config.patch_size
        return [
            JointAttentionSite(f"transformer_blocks.{number}.attn", block.attn, patch)
            for number, block in enumerate(self.denoiser.transformer_blocks)
        ]

    def pipeline_inputs(self, cond: Conditioning) -> dict[str, Tensor]:
        """Encoded texts under the names of the pipeline's arguments."""
        return {"prompt_embeds": cond.embeds_BLD, "pooled_prompt_embeds": cond.pooled_BD}

    def token_count(self, text: str) -> int:
        """T5's tokens of `text` including the end mark, before truncation: T5 reads the longest texts."""
        return len(self._parts["tokenizer_3"](text, verbose=False)["input_ids"])

    @property
    def max_tokens(self) -> int:
        """T5's tokens; of longer texts CLIP reads the first 77."""
        return T5_TOKENS

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        """CLIP's tokens, and where the phrases are in the 77 of CLIP and the 256 of T5."""
        clip = tokenize(self.tokenizer, texts, self.clip_tokens)
        t5 = tokenize(self._parts["tokenizer_3"], texts, T5_TOKENS)
        return Tokens(
            ids_BL=torch.cat([clip.ids_BL, t5.ids_BL], dim=1),
            offsets_BL2=torch.cat([clip.offsets_BL2, t5.offsets_BL2], dim=1),
            ended_BL=torch.cat([clip.ended_BL, t5.ended_BL], dim=1),
        )

    def _encode_texts(self, texts: Sequence[str], tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Hidden states B 77+256 D, both CLIPs' side by side and padded to T5's width; pooled B D1+D2."""
        second_BL = tokenize(self._parts["tokenizer_2"], texts, self.clip_tokens).ids_BL
        embeds, pooled = [], []
        for ids_BL, two_BL in zip(
            torch.split(tokens.ids_BL, TEXTS_AT_ONCE), torch.split(second_BL, TEXTS_AT_ONCE), strict=True
        ):
            one_BL, three_BL = torch.split(ids_BL, [self.clip_tokens, T5_TOKENS], dim=1)
            one = self._read(self.text_encoder, one_BL, output_hidden_states=True)
            two = self._read(self._parts["text_encoder_2"], two_BL, output_hidden_states=True)
            three = self._read(self._parts["text_encoder_3"], three_BL).last_hidden_state
            clip = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
            clip = F.pad(clip, (0, three.shape[-1] - clip.shape[-1]))
            embeds.append(torch.cat([clip.float(), three.float()], dim=1))
            pooled.append(torch.cat([one.text_embeds, two.text_embeds], dim=-1))
        embeds_BLD, pooled_BD = (torch.cat(each).float().to(self.device) for each in (embeds, pooled))
        return embeds_BLD, pooled_BD

    def _denoise(self, z_t_BCHW: Tensor, timesteps_B: Tensor, cond: Conditioning) -> Tensor:
        output: Tensor = self.denoiser(
            hidden_states=z_t_BCHW,
            timestep=timesteps_B,
            encoder_hidden_states=cond.embeds_BLD,
            pooled_projections=cond.pooled_BD,
        ).sample
        return output
