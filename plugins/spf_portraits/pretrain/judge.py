"""Stage `judges`: attribute probe, part segmenter, identity embedder, and their held-out accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from spf_portraits.judges.networks import IdentityEmbedder, Probe, Segmenter
from spf_portraits.pretrain.data import CLASSES, RenderedSet, load_set
from spf_portraits.pretrain.export import save_half
from spf_portraits.pretrain.judged import measure
from spf_portraits.pretrain.loop import Trainer
from spf_portraits.pretrain.recipe import Options
from spf_portraits.pretrain.vae import load_vae, reconstruct
from spf_portraits.world.render import PARTS

TEMPERATURE = 0.1


@dataclass(frozen=True)
class Encoded:
    """A rendered set, also as the autoencoder returns it."""

    renders: RenderedSet
    reconstructed: np.ndarray

    def either(self, index: np.ndarray, generator: torch.Generator) -> Tensor:
        """Portraits `index`, each clean or reconstructed, augmented (B, 3, 64, 64)."""
        encoded = (torch.rand(len(index), generator=generator) < 0.5).numpy()[:, None, None, None]
        images = np.where(encoded, self.reconstructed[index], self.renders.images[index])
        return augment(to_unit(images), generator)


@dataclass(frozen=True)
class ProbeData:
    """All renders with labels, and the judge set as the autoencoder returns it."""

    images: np.ndarray
    labels: np.ndarray
    judge: Encoded

    def labelled(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Half clean renders, half reconstructions, augmented (B, 3, 64, 64), with class numbers (B, A)."""
        clean = torch.randint(len(self.images), (batch // 2,), generator=generator).numpy()
        judge = self.judge
        encoded = torch.randint(len(judge.renders), (batch - batch // 2,), generator=generator).numpy()
        images = np.concatenate([self.images[clean], judge.reconstructed[encoded]])
        labels = np.concatenate([self.labels[clean], judge.renders.labels[encoded]])
        return augment(to_unit(images), generator), torch.from_numpy(labels)


def to_unit(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [0, 1]."""
    pixels: Tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2) / 255
    return pixels


def augment(images_B3HW: Tensor, generator: torch.Generator) -> Tensor:
    """Light blur, noise and exposure: generated portraits are less crisp than renders."""
    blurred = F.avg_pool2d(images_B3HW, 3, 1, 1, count_include_pad=False)
    amount, noise, exposure = torch.rand(3, len(images_B3HW), 1, 1, 1, generator=generator)
    images = torch.lerp(images_B3HW, blurred, 0.6 * amount)
    images = images + 0.04 * noise * torch.randn(images.shape, generator=generator)
    exposed: Tensor = images * (0.96 + 0.08 * exposure)
    return exposed.clamp(0, 1)


def train_judges(options: Options) -> None:
    """Train the three judges, measure them on the held-out set and write `weights/judges`."""
    vae = load_vae(options)
    judge = encoded_set(vae, options, "judge")
    probe, segmenter = train_probe(probe_data(judge, options), options), train_segmenter(judge, options)
    embedder = train_identity(judge, options)
    heldout = load_set(options.cache, "heldout")
    accuracy = measure(probe, segmenter, embedder, heldout, reconstruct(vae, heldout.images))
    networks = {"probe": probe, "segmenter": segmenter, "identity": embedder}
    write_judges(networks, accuracy, options.weights / "judges")
    print(json.dumps(accuracy, indent=2), flush=True)


def encoded_set(vae: AutoencoderKL, options: Options, name: str) -> Encoded:
    """A set of the cache with its reconstructions."""
    renders = load_set(options.cache, name)
    return Encoded(renders, reconstruct(vae, renders.images))


def probe_data(judge: Encoded, options: Options) -> ProbeData:
    """Everything that the attribute probe learns from."""
    clip = load_set(options.cache, "clip")
    images = np.concatenate([clip.images, judge.renders.images])
    return ProbeData(images, np.concatenate([clip.labels, judge.renders.labels]), judge)


def train_probe(data: ProbeData, options: Options) -> Probe:
    """Cross-entropy on every label."""
    stage = options.stage("probe")
    torch.manual_seed(stage.seed)
    probe = Probe(CLASSES)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        images, labels = data.labelled(stage.batch, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = probe(images)
        terms = [F.cross_entropy(logits[name].float(), labels[:, i]) for i, name in enumerate(CLASSES)]
        return {"labels": torch.stack(terms).mean()}

    Trainer(probe, stage, options).run(loss_of)
    return probe


def train_segmenter(data: Encoded, options: Options) -> Segmenter:
    """Cross-entropy a pixel."""
    stage = options.stage("segmenter")
    torch.manual_seed(stage.seed)
    segmenter = Segmenter(len(PARTS))
    parts = data.renders.parts
    assert parts is not None

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = torch.randint(len(data.renders), (stage.batch,), generator=generator).numpy()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = segmenter(data.either(index, generator))
        return {"parts": F.cross_entropy(logits.float(), torch.from_numpy(parts[index]).long())}

    Trainer(segmenter, stage, options).run(loss_of)
    return segmenter


def pair_loss(embedding_BD: Tensor) -> Tensor:
    """InfoNCE: rows 2i and 2i+1 show one person, every other row somebody else."""
    similarity = embedding_BD @ embedding_BD.T / TEMPERATURE
    similarity.fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(embedding_BD)) ^ 1)


def train_identity(data: Encoded, options: Options) -> IdentityEmbedder:
    """Bring two situations of one person together, push other people away."""
    stage = options.stage("identity")
    torch.manual_seed(stage.seed)
    embedder = IdentityEmbedder()

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        person = torch.randperm(len(data.renders) // 2, generator=generator)[: stage.batch // 2].numpy()
        index = np.stack([2 * person, 2 * person + 1], axis=1).reshape(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embedding = embedder(data.either(index, generator))
        return {"pairs": pair_loss(embedding.float())}

    Trainer(embedder, stage, options).run(loss_of)
    return embedder


def write_judges(networks: dict[str, nn.Module], accuracy: dict[str, Any], folder: Path) -> None:
    """Save weights and `config.json`, the file that makes the folder valid, last."""
    for name, network in networks.items():
        save_half(network, folder / f"{name}.safetensors")
    config = {"classes": CLASSES, "parts": PARTS, "accuracy": accuracy}
    temporary = folder / "config.tmp"
    temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / "config.json")
