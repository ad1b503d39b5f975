"""Stage `clip`: contrastive training of the small CLIP on portraits that carry every target."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.modeling_clip import CLIPOutput

from spf_portraits.pretrain.data import CLASSES, load_set, save_array, to_pixels
from spf_portraits.pretrain.loop import Trainer, batches, load_trained
from spf_portraits.pretrain.networks import build_clip
from spf_portraits.pretrain.recipe import TEXT_LENGTH, Options
from spf_portraits.pretrain.tokenizer import save_tokenizer, train_tokenizer

HEAD_SCALE = 10.0


def make_tokenizer(options: Options) -> None:
    """Learn the tokenizer on the captions of both training sets."""
    sets = (load_set(options.cache, name) for name in ("clip", "unet"))
    texts = (caption.text for data in sets for captions in data.captions for caption in captions)
    save_tokenizer(train_tokenizer(texts), options.cache / "tokenizer")


def positives(labels_BA: Tensor, mentioned_BA: Tensor) -> Tensor:
    """True where portrait j agrees with everything caption i says: (B, B), captions in rows."""
    differs_BBA = labels_BA[:, None] != labels_BA[None]
    return ~(differs_BBA & mentioned_BA[:, None]).any(dim=-1)


def contrastive_loss(logits_BB: Tensor, positive_BB: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy, the probability shared among all true matches of a short caption."""
    share = positive_BB.float()
    rows = F.cross_entropy(logits_BB, share / share.sum(dim=1, keepdim=True))
    columns = F.cross_entropy(logits_BB.T, share.T / share.T.sum(dim=1, keepdim=True))
    return (rows + columns) / 2


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids padded to the longest text: the text tower is causal, so later padding changes nothing."""
    batch = tokenizer(texts, padding="longest", truncation=True, return_tensors="pt")
    ids: Tensor = batch["input_ids"]
    return ids


class Heads(nn.ModuleList):
    """A linear classifier a label."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, len(options)) for options in CLASSES.values())

    def loss(self, features_BAD: Tensor, labels_BA: Tensor, known_BA: Tensor) -> Tensor:
        """Cross-entropy of the labels that are known, averaged over labels."""
        terms = [
            F.cross_entropy(head(features_BAD[:, column]), labels_BA[:, column], reduction="none")
            for column, head in enumerate(self)
        ]
        return (torch.stack(terms, dim=1) * known_BA).sum() / known_BA.sum().clamp(min=1)


def for_every_label(embedding_BD: Tensor) -> Tensor:
    """A unit embedding as every head's features (B, A, D), scaled to the size that linear heads expect."""
    return (embedding_BD.float() * HEAD_SCALE)[:, None].expand(-1, len(CLASSES), -1)


class LabelledClip(nn.Module):
    """A CLIP whose two embeddings also answer, through shared linear heads, what a picture or caption says.

    The contrastive loss alone is satisfied long before a small model tells hair styles apart; the heads are
    dropped after training.
    """

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.heads = Heads(clip.config.projection_dim)

    def forward(self, ids_BL: Tensor, pixels_B3HW: Tensor) -> CLIPOutput:
        """Embeddings and scaled similarities of captions and pictures."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output: CLIPOutput = self.clip(input_ids=ids_BL, pixel_values=pixels_B3HW)
        return output

    def label_loss(self, embedding_BD: Tensor, labels_BA: Tensor, known_BA: Tensor) -> Tensor:
        """How well an embedding tells the labels that are known."""
        return self.heads.loss(for_every_label(embedding_BD), labels_BA, known_BA)


def train_clip(options: Options) -> None:
    """Train and checkpoint the stage."""
    tokenizer = CLIPTokenizer.from_pretrained(options.cache / "tokenizer")
    torch.manual_seed(options.stage("clip").seed)
    model = LabelledClip(build_clip(tokenizer))
    stage, data = options.stage("clip"), load_set(options.cache, "clip")

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = torch.randint(len(data), (stage.batch,), generator=generator).numpy()
        variant = int(torch.randint(data.variants, (1,), generator=generator))
        texts = [data.captions[i][variant].text for i in index]
        labels = torch.from_numpy(data.labels[index])
        mentioned = torch.from_numpy(np.stack([data.mention_mask(i, variant) for i in index]))
        output = model(tokenize(tokenizer, texts), to_pixels(data.images[index]))
        return {
            "contrastive": contrastive_loss(output.logits_per_text.float(), positives(labels, mentioned)),
            "image_labels": model.label_loss(output.image_embeds, labels, torch.ones_like(mentioned)),
            "text_labels": model.label_loss(output.text_embeds, labels, mentioned),
        }

    Trainer(model, stage, options).run(loss_of)


def load_clip(options: Options, stage: str = "text") -> tuple[CLIPModel, CLIPTokenizer]:
    """The CLIP that `stage` (`clip` or `text`) left behind, frozen."""
    tokenizer = CLIPTokenizer.from_pretrained(options.cache / "tokenizer")
    clip = build_clip(tokenizer)
    load_trained(clip, options.cache, stage, kind="network.clip")
    return clip, tokenizer


def cache_texts(options: Options) -> None:
    """Encode the UNet set's captions, and the empty one last, for the UNet to read."""
    clip, tokenizer = load_clip(options)
    captions = load_set(options.cache, "unet").captions
    texts = [caption.text for variants in captions for caption in variants]
    save_array(options.cache / "unet_texts.npy", encode_texts(clip, tokenizer, [*texts, ""]).numpy())
    print(f"clip: {len(texts)} captions encoded", flush=True)


@torch.no_grad()
def encode_texts(clip: CLIPModel, tokenizer: CLIPTokenizer, texts: list[str], batch: int = 200) -> Tensor:
    """Last hidden states with padding, as `StableDiffusionPipeline` computes them: float16 (N, 77, 192)."""
    hidden = []
    for part in batches(len(texts), batch):
        ids = tokenizer(
            texts[part], padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
        )["input_ids"]
        hidden.append(clip.text_model(input_ids=ids).last_hidden_state.half())
    return torch.cat(hidden)
