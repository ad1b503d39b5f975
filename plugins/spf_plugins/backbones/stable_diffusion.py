"""Stable Diffusion 1.5's architecture, at any size, as a backbone."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from spf_core.helpers import CrossAttentionSite, checkpointed, record
from spf_core.interfaces import NoiseProcess
from spf_core.interfaces.attention import AttentionSite
from spf_core.interfaces.types import Capture, Conditioning, PathOutput
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones import layouts, loading
from spf_plugins.backbones.noise_processes import DDPMNoise
from spf_plugins.backbones.precision import computing_in, never_in_float16
from spf_plugins.backbones.quantization import Quantize, quantize_linears
from spf_plugins.backbones.tokens import Tokens, average_over_all, normalised, tokenize

TEXTS_AT_ONCE = 64
SLICED_FROM = 512  # pixels; from this size on, pictures pass the VAE one by one, as a batch needs gigabytes
NO_CAPTURE = Capture()


def unit_features(output: Any) -> Tensor:
    """L2-normalised CLIP features, from a tensor or from the output object of transformers 5."""
    features: Tensor = getattr(output, "pooler_output", output)
    return F.normalize(features.float(), dim=-1)


def _halvings(name: str, last: int) -> int:
    """How often a layer's latents are halved: every down block but the `last` halves them once."""
    side, number, *_ = name.split(".")
    if side == "mid_block":
        return last
    return int(number) if side == "down_blocks" else last - int(number)


class StableDiffusion:
    """A frozen `StableDiffusionPipeline` with a CLIP model; satisfies `interfaces.Backbone`.

    Weights are kept in `dtype`, the VAE's always in float32; what comes out is float32. `quantized` says how
    the denoiser's linear layers are packed, from when it is on its device.
    """

    layout = layouts.SD
    loop_names: Mapping[str, str] = {}

    @property
    def denoiser_name(self) -> str:
        """What the pipeline calls the denoiser."""
        return self.layout.denoiser

    def __init__(
        self,
        folder: Path,
        clip_folder: Path | None = None,
        variant: str | None = None,
        dtype: torch.dtype = torch.float32,
        settings: Path | None = None,
        quantize: Quantize = "none",
    ) -> None:
        """Load local folders (`clip_folder`: by default `folder / "clip"`); RunError when one is unusable.

        `variant` chooses among weight files, as in `unet/diffusion_pytorch_model.fp16.safetensors`. `folder`
        may be a single .safetensors file, whose architecture `settings` (a folder) describe.
        """
        self._folders = folder, clip_folder or folder / "clip"
        self.dtype = dtype
        parts = loading.load_parts(self.layout, *self._folders, variant, dtype, settings)
        self.scheduler = self.make_scheduler(parts.named["scheduler"])
        self._parts, self._index = {**parts.named, "scheduler": self.scheduler}, parts.index
        self.denoiser, self.vae = self._parts[self.layout.denoiser], self._parts["vae"]
        self.text_encoder, self.tokenizer = self._parts["text_encoder"], self._parts["tokenizer"]
        self.clip = parts.clip
        self.noise = self._noise_process()
        self.device = torch.device("cpu")
        self.quantized: Quantize = "none"
        self._to_quantize: Quantize = quantize
        self._checkpointing = False
        self.clip_tokens: int = self.tokenizer.model_max_length
        self.image_size: int = self.denoiser.config.sample_size * 2 ** (
            len(self.vae.config.block_out_channels) - 1
        )
        if self.image_size >= SLICED_FROM:
            self.vae.enable_slicing()
        self.clip_size: int = parts.clip.config.vision_config.image_size
        self._mean_311 = torch.tensor(parts.image_mean).view(3, 1, 1)
        self._std_311 = torch.tensor(parts.image_std).view(3, 1, 1)

    def make_scheduler(self, loaded: Any) -> Any:
        """The scheduler to train and to sample with, from that of the folder: as it is.

        A subclass may return another; `noise` and the pipeline both follow it.
        """
        return loaded

    def to(self, device: torch.device) -> None:
        """Move every part to `device`, where the denoiser is quantised if it is to be."""
        if self.quantized != self._to_quantize:
            self.quantize(self._to_quantize, device)
        for name in self.layout.networks:
            self._parts[name].to(device)
        self.clip.to(device)
        self.noise.to(device)
        self._mean_311, self._std_311 = self._mean_311.to(device), self._std_311.to(device)
        self.device = device

    def quantize(self, quantize: Quantize, device: torch.device) -> None:
        """Pack the weights of the denoiser's linear layers, on `device`; adapters' layers are left out."""
        quantize_linears(self.denoiser, quantize, self.dtype, device)
        self.quantized = self._to_quantize = quantize

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[Prompt], *, with_target: bool) -> Conditioning:
        """Encode the complete texts (`with_target`) or the base texts alone.

        Where there is no target, under the base text or in a prompt without one, its rows are zero.
        """
        texts = [prompt.complete_text if with_target else prompt.base_text for prompt in prompts]
        tokens = self._tokens(texts)
        spans = [prompt.phrase_spans(complete=with_target) for prompt in prompts]
        phrases = [[text[a:b] for a, b in row] for text, row in zip(texts, spans, strict=True)]
        target_spans = [[span] if with_target and (span := p.target_span()) else [] for p in prompts]
        targets = [[text[a:b] for a, b in row] for text, row in zip(texts, target_spans, strict=True)]
        embeds_BLD, pooled_BD = self._encode_texts(texts, tokens)
        return Conditioning(
            embeds_BLD=embeds_BLD,
            pooled_BD=pooled_BD,
            sizes_B6=self._sizes(len(texts)),
            phrase_BPL=average_over_all(tokens.offsets_BL2, spans).to(self.device),
            target_BL=average_over_all(tokens.offsets_BL2, target_spans)[:, 0].to(self.device),
            pad_BL=normalised(tokens.ended_BL).to(self.device),
            phrase_embeds_BPD=self._embed_rows(phrases),
            target_embed_BD=self._embed_rows(targets)[:, 0],
        )

    def read_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the denoiser reads of texts, `embeds_BLD` and `pooled_BD`, with gradient."""
        return self._encode_texts(texts, self._tokens(texts))

    def attention_sites(self) -> Sequence[AttentionSite]:
        """The UNet's cross-attention layers: what diffusers calls `attn2` in a transformer block."""
        last = len(self.denoiser.config.down_block_types) - 1
        return [
            CrossAttentionSite(name, module, _halvings(name, last))
            for name, module in self.denoiser.named_modules()
            if name.endswith("attn2") and hasattr(module, "set_processor")
        ]

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """C, H and W of the latents of pictures of this size in pixels."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return self.denoiser.config.in_channels, height // factor, width // factor

    @torch.no_grad()
    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        """Map pixels in [-1, 1] to scaled latents (posterior mean)."""
        with never_in_float16(self.device):
            latents: Tensor = self.vae.encode(images_B3HW).latent_dist.mode()
        if self.vae.config.shift_factor:
            latents = latents - self.vae.config.shift_factor
        scaled: Tensor = latents * self.vae.config.scaling_factor
        return scaled

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Map scaled latents to pixels, about [-1, 1] and not clipped; differentiable."""
        with never_in_float16(self.device):
            latents = latents_BCHW.float() / self.vae.config.scaling_factor
            if self.vae.config.shift_factor:
                latents = latents + self.vae.config.shift_factor
            pixels: Tensor = self.vae.decode(latents).sample
        return pixels

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """E_I: unit-norm embeddings (B, D) of pixels in [-1, 1]; differentiable."""
        size = self.clip_size, self.clip_size
        pixels = F.interpolate(images_B3HW.float(), size=size, mode="bilinear", antialias=True)
        normed = ((pixels + 1) / 2 - self._mean_311) / self._std_311
        with computing_in(self.dtype, self.device):
            return unit_features(self.clip.get_image_features(pixel_values=normed))

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """E_T: unit-norm embeddings (N, D) of texts."""
        if not texts:
            return torch.zeros(0, self.clip.config.projection_dim, device=self.device)
        ids_NL = tokenize(self.tokenizer, texts, self.clip_tokens).ids_BL.to(self.device)
        parts = torch.split(ids_NL, TEXTS_AT_ONCE)
        return torch.cat([unit_features(self.clip.get_text_features(input_ids=part)) for part in parts])

    def predict(
        self, z_t_BCHW: Tensor, timesteps_B: Tensor, cond: Conditioning, capture: Capture = NO_CAPTURE
    ) -> PathOutput:
        """Predict in the space of the noise process, in float32, recording what `capture` asks for."""
        with computing_in(self.dtype, self.device), record(self.attention_sites(), capture) as captured:
            output_BCHW = self._denoise(z_t_BCHW, timesteps_B, cond)
        pred_BCHW = output_BCHW.float()
        if isinstance(self.noise, DDPMNoise) and self.noise.trained_on_v:
            pred_BCHW = self.noise.eps_from_v(pred_BCHW, z_t_BCHW, timesteps_B)
        return PathOutput(pred_BCHW, captured.attention, captured.queries, captured.hidden)

    def checkpoint_gradients(self) -> None:
        """From now on keep block inputs alone for the backward pass, and compute the rest a second time.

        Of text encoders, where they are tuned, only what they read is kept.
        """
        self._checkpointing = True
        self.denoiser.enable_gradient_checkpointing(checkpointed)
        self.vae.enable_gradient_checkpointing(checkpointed)

    def offload_text_encoders(self) -> None:
        """Move the text encoders to the CPU, where they go on encoding: training reads what they encoded."""
        for encoder in self.encoders():
            encoder.to("cpu")

    def encoders(self) -> list[nn.Module]:
        """The text encoders."""
        return [self._parts[name] for name in self.layout.networks if name.startswith("text_encoder")]

    @property
    def max_tokens(self) -> int:
        """Tokens that are read of a text; longer ones are truncated."""
        return self.clip_tokens

    def token_count(self, text: str) -> int:
        """Tokens of `text` including begin and end marks, before truncation."""
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def pipeline(self) -> Any:
        """The layout's pipeline with DDIM over the very same modules."""
        return self._pipeline

    @cached_property
    def _pipeline(self) -> Any:
        return loading.make_pipeline(self.layout, self._parts)

    def pipeline_inputs(self, cond: Conditioning) -> dict[str, Tensor]:
        """Encoded texts under the names of the pipeline's arguments."""
        return {"prompt_embeds": cond.embeds_BLD}

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over the frozen weights, tokenizer and noise schedule."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return loading.fingerprint(self.layout, *self._folders)

    def _noise_process(self) -> NoiseProcess:
        return DDPMNoise(self.scheduler)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        """The ids that the encoders read, and where each token lies in its text."""
        return tokenize(self.tokenizer, texts, self.clip_tokens)

    def _denoise(self, z_t_BCHW: Tensor, timesteps_B: Tensor, cond: Conditioning) -> Tensor:
        """The denoiser's output, as it was trained to predict."""
        output: Tensor = self.denoiser(
            z_t_BCHW, timesteps_B, encoder_hidden_states=cond.embeds_BLD, **self._also_read(cond)
        ).sample
        return output

    def _encode_texts(self, texts: Sequence[str], tokens: Tokens) -> tuple[Tensor, Tensor]:
        """What the denoiser's cross-attention reads, B L D, and the pooled embedding, B 0."""
        parts = torch.split(tokens.ids_BL, TEXTS_AT_ONCE)
        states = [self._read(self.text_encoder, part).last_hidden_state for part in parts]
        embeds_BLD = torch.cat(states).float().to(self.device)
        return embeds_BLD, embeds_BLD.new_zeros(len(texts), 0)

    def _read(self, encoder: Any, ids_BL: Tensor, **options: Any) -> Any:
        """An encoder's output."""
        ids_BL = ids_BL.to(encoder.device)
        if self._checkpointing and torch.is_grad_enabled():
            return checkpoint(partial(encoder, **options), ids_BL, use_reentrant=False)
        return encoder(ids_BL, **options)

    def _sizes(self, count: int) -> Tensor:
        return torch.zeros(count, 0, device=self.device)

    def _also_read(self, cond: Conditioning) -> dict[str, Any]:
        """What the denoiser reads beside the texts."""
        return {}

    def _embed_rows(self, rows: Sequence[Sequence[str]]) -> Tensor:
        """Sentence embeddings of each row's texts: (B, P, D), padded with zeros; P is at least 1."""
        index = {
            text: place for place, text in enumerate(dict.fromkeys(t for row in rows for t in row), start=1)
        }
        embeds_ND = self.embed_texts(list(index))
        table = F.pad(embeds_ND, (0, 0, 1, 0))
        width = max([1, *map(len, rows)])
        places = [[*(index[text] for text in row), *[0] * (width - len(row))] for row in rows]
        return table[torch.tensor(places, device=self.device)]
