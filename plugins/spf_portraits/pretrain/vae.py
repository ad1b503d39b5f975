"""Stage `vae`: the autoencoder, then the latents of the portraits that the UNet trains on."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from spf_core.runs.checkpoint import read_safetensors
from spf_portraits.pretrain.data import load_set, save_array, to_pixels
from spf_portraits.pretrain.loop import Trainer, batches, load_trained, save_tensors
from spf_portraits.pretrain.networks import build_vae
from spf_portraits.pretrain.recipe import KL_WEIGHT, Options


def gradient_l1(image_B3HW: Tensor, target_B3HW: Tensor) -> Tensor:
    """Mean absolute difference of horizontal plus vertical image gradients: sharp edges."""
    across = (image_B3HW.diff(dim=3) - target_B3HW.diff(dim=3)).abs().mean()
    down = (image_B3HW.diff(dim=2) - target_B3HW.diff(dim=2)).abs().mean()
    return across + down


def kl_to_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), averaged over latent elements."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def train_vae(options: Options) -> None:
    """Train the autoencoder, measure its scale and cache the latents."""
    stage = options.stage("vae")
    torch.manual_seed(stage.seed)
    vae = build_vae()
    vae.set_attn_processor(AttnProcessor())
    images = np.concatenate([load_set(options.cache, name).images for name in ("clip", "unet")])

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = torch.randint(len(images), (stage.batch,), generator=generator).numpy()
        pixels = to_pixels(images[index])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            noise = torch.randn(mean.shape, generator=generator)
            output = vae.decode(mean + noise * (0.5 * logvar).exp()).sample.float()
        return {
            "l1": (output - pixels).abs().mean(),
            "gradient": gradient_l1(output, pixels),
            "kl": KL_WEIGHT * kl_to_normal(mean, logvar),
        }

    Trainer(vae, stage, options).run(loss_of)
    cache_latents(options)


@torch.no_grad()
def encode_means(vae: AutoencoderKL, images: np.ndarray, batch: int = 100) -> Tensor:
    """Posterior means, unscaled: (N, 4, 16, 16)."""
    means = []
    for part in batches(len(images), batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            means.append(vae.encode(to_pixels(images[part])).latent_dist.mean.float())
    return torch.cat(means).contiguous()


def cache_latents(options: Options) -> None:
    """Write the UNet set's latents, scaled to unit standard deviation, and the scale."""
    vae = build_vae()
    load_trained(vae, options.cache, "vae")
    means = encode_means(vae, load_set(options.cache, "unet").images)
    scale = 1 / float(means.std())
    save_tensors({"scaling_factor": torch.tensor(scale)}, options.cache / "vae_scale.safetensors", {})
    save_array(options.cache / "unet_latents.npy", (means * scale).numpy())
    print(f"vae scaling_factor {scale:.5f}", flush=True)


def load_vae(options: Options) -> AutoencoderKL:
    """The trained autoencoder, frozen, with its `scaling_factor`."""
    vae = build_vae()
    load_trained(vae, options.cache, "vae")
    tensors, _ = read_safetensors(options.cache / "vae_scale.safetensors")
    vae.register_to_config(scaling_factor=float(tensors["scaling_factor"]))
    return vae


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: np.ndarray, batch: int = 100) -> np.ndarray:
    """Images through the autoencoder and back: uint8 (N, H, W, 3)."""
    parts = []
    for part in batches(len(images), batch):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean = vae.encode(to_pixels(images[part])).latent_dist.mean
            pixels = vae.decode(mean).sample.float()
        parts.append(((pixels + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy())
    return np.concatenate(parts)
