"""Stage `unet`: noise prediction on cached latents with the frozen text encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTokenizer

from spf_portraits.pretrain.data import load_set
from spf_portraits.pretrain.loop import Ema, Trainer
from spf_portraits.pretrain.networks import build_scheduler, build_unet
from spf_portraits.pretrain.recipe import (
    CAPTION_DROPOUT,
    EMA_DECAY,
    PAD_DROPOUT,
    SNR_RANGE,
    TEXT_LENGTH,
    Options,
)


def snr_weight(alphas_cumprod_B: Tensor) -> Tensor:
    """clip(SNR, low, high) / SNR for noise prediction: min-SNR (arXiv 2303.09556) with a floor.

    The weight of an error in the clean image is the clipped SNR itself. Without a floor that is 0.006 where
    sampling starts and colours are settled.
    """
    snr = alphas_cumprod_B / (1 - alphas_cumprod_B)
    return snr.clamp(*SNR_RANGE) / snr


class TextLatents:
    """Cached pairs of latent and caption embedding, drawn with caption dropout and padding dropout.

    The text encoder is causal: from the end mark on, every token sums the caption up, and a UNet that always
    sees those learns to read nothing else. Where they are dropped (the empty caption's stand in their place)
    it has to read the words, as larger models do.
    """

    def __init__(self, cache: Path) -> None:
        self.latents = torch.from_numpy(np.load(cache / "unet_latents.npy"))
        self.hidden = torch.from_numpy(np.load(cache / "unet_texts.npy"))
        self.variants = (len(self.hidden) - 1) // len(self.latents)
        self.ends = end_positions(cache)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, 16, 16) and text states (B, 77, 192)."""
        index = torch.randint(len(self.latents), (batch,), generator=generator)
        caption = index * self.variants + torch.randint(self.variants, (batch,), generator=generator)
        dropped = torch.rand(batch, generator=generator) < CAPTION_DROPOUT
        caption[dropped] = len(self.hidden) - 1
        states = self.hidden[caption]
        summed_up = torch.arange(TEXT_LENGTH) >= self.ends[caption][:, None]
        unpadded = torch.rand(batch, 1, generator=generator) < PAD_DROPOUT
        states = torch.where((summed_up & unpadded)[:, :, None], self.hidden[-1], states)
        return self.latents[index], states.float()


def end_positions(cache: Path) -> Tensor:
    """Where the end mark of every caption stands, the empty one last (N + 1,)."""
    tokenizer = CLIPTokenizer.from_pretrained(cache / "tokenizer")
    captions = load_set(cache, "unet").captions
    texts = [caption.text for variants in captions for caption in variants]
    ids = tokenizer([*texts, ""], truncation=True, max_length=TEXT_LENGTH)["input_ids"]
    return torch.tensor([len(tokens) - 1 for tokens in ids])


def train_unet(options: Options) -> None:
    """Train with an EMA; every `--snapshot-every` steps the average is exported as a pipeline."""
    stage = options.stage("unet")
    pairs = TextLatents(options.cache)
    torch.manual_seed(stage.seed)
    unet = build_unet()
    unet.set_attn_processor(AttnProcessor())
    alphas_cumprod = build_scheduler().alphas_cumprod

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        latents, hidden = pairs.draw(stage.batch, generator)
        timesteps = torch.randint(1000, (stage.batch,), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        alpha = alphas_cumprod[timesteps]
        noisy = alpha.sqrt()[:, None, None, None] * latents + (1 - alpha).sqrt()[:, None, None, None] * noise
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inputs = noisy.contiguous(memory_format=torch.channels_last)
            prediction = unet(inputs, timesteps, hidden).sample.float()
        error = (prediction - noise).square().mean(dim=(1, 2, 3))
        return {"eps": (snr_weight(alpha) * error).mean()}

    trainer = Trainer(unet, stage, options, Ema(unet, EMA_DECAY))
    trainer.run(loss_of, lambda step: snapshot(trainer, step))


def snapshot(trainer: Trainer, step: int) -> None:
    """Export the averaged UNet every `--snapshot-every` steps, so that experiments can start early."""
    options = trainer.options
    if options.snapshots is None or not options.snapshot_every or step % options.snapshot_every:
        return
    from spf_portraits.pretrain.export import export_pipeline

    averaged: UNet2DConditionModel = build_unet()
    assert trainer.ema is not None
    averaged.load_state_dict(trainer.ema.state())
    export_pipeline(options, averaged, options.snapshots / f"step-{step}")
    print(f"unet: snapshot at step {step}", flush=True)
