"""Stage `clip`: contrastive training of the small CLIP on portraits that carry every target."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from spf_plugins.portraits.pretrain.data import RenderedSet, load_set, save_array, to_pixels
from spf_plugins.portraits.pretrain.loop import Trainer, batches, load_trained
from spf_plugins.portraits.pretrain.networks import build_clip
from spf_plugins.portraits.pretrain.recipe import TEXT_LENGTH, Options
from spf_plugins.portraits.pretrain.tokenizer import save_tokenizer, train_tokenizer


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


def clip_logits(model: CLIPModel, ids_BL: Tensor, pixels_B3HW: Tensor) -> Tensor:
    """Scaled cosine similarities, captions in rows: (B, B)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(input_ids=ids_BL, pixel_values=pixels_B3HW)
    logits: Tensor = output.logits_per_text.float()
    return logits


def train_clip(options: Options) -> None:
    """Train and checkpoint the stage."""
    tokenizer = CLIPTokenizer.from_pretrained(options.cache / "tokenizer")
    torch.manual_seed(options.stage("clip").seed)
    model = build_clip(tokenizer)
    stage, data = options.stage("clip"), load_set(options.cache, "clip")

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        index = torch.randint(len(data), (stage.batch,), generator=generator).numpy()
        variant = int(torch.randint(data.variants, (1,), generator=generator))
        texts = [data.captions[i][variant].text for i in index]
        logits = clip_logits(model, tokenize(tokenizer, texts), to_pixels(data.images[index]))
        return {"contrastive": contrastive_loss(logits, batch_positives(data, index, variant))}

    Trainer(model, stage, options).run(loss_of)
    cache_texts(options)


def batch_positives(data: RenderedSet, index: np.ndarray, variant: int) -> Tensor:
    """`positives` for caption number `variant` of each portrait in `index`."""
    mentioned = np.stack([data.mention_mask(i, variant) for i in index])
    return positives(torch.from_numpy(data.labels[index]), torch.from_numpy(mentioned))


def load_clip(options: Options) -> tuple[CLIPModel, CLIPTokenizer]:
    """The trained CLIP, frozen."""
    tokenizer = CLIPTokenizer.from_pretrained(options.cache / "tokenizer")
    model = build_clip(tokenizer)
    load_trained(model, options.cache, "clip")
    return model, tokenizer


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
