"""Stage `text`: the text tower alone, on captions that never come twice.

What two captions share in this tower the UNet cannot draw differently. Writing captions needs no pictures, so
here the tower meets new ones at every step; the vision tower stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from spf_portraits.pretrain.clip import (
    Heads,
    cache_texts,
    contrastive_loss,
    for_every_label,
    load_clip,
    positives,
    tokenize,
)
from spf_portraits.pretrain.data import CLASSES, RenderedSet, class_indices, load_set, to_pixels
from spf_portraits.pretrain.loop import Trainer, batches
from spf_portraits.pretrain.recipe import SETS, Options
from spf_portraits.pretrain.scenes import draw_views, write

CAPTION_KINDS = (0.4, 0.4, 0.1, 0.1)
Said = tuple[list[str], Tensor, Tensor]


class WordReader(nn.Module):
    """One learnt query a label attends to the words, as a UNet's cross-attention does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries_AD = nn.Parameter(torch.randn(len(CLASSES), width) / width**0.5)
        self.keys = nn.Linear(width, width)

    def forward(self, states_BLD: Tensor, words_BL: Tensor) -> Tensor:
        """What each label's query reads (B, A, D) from the states of the words alone."""
        scores_BAL = self.queries_AD @ self.keys(states_BLD).transpose(1, 2)
        scores_BAL = scores_BAL.masked_fill(~words_BL[:, None], float("-inf"))
        read_BAD: Tensor = scores_BAL.softmax(dim=-1) @ states_BLD
        return read_BAD


class TextStage(nn.Module):
    """A CLIP whose text tower trains: its embedding and its words both answer what a caption says.

    Reader and heads are dropped after training.
    """

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        width = clip.config.text_config.hidden_size
        self.reader, self.word_heads = WordReader(width), Heads(width)
        self.embedding_heads = Heads(clip.config.projection_dim)
        clip.vision_model.requires_grad_(False)
        clip.visual_projection.requires_grad_(False)

    def forward(self, ids_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Token states (B, L, 192) and unit text embeddings (B, 128)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = self.clip.text_model(input_ids=ids_BL)
            embedding = self.clip.text_projection(output.pooler_output)
        return output.last_hidden_state.float(), F.normalize(embedding.float(), dim=-1)

    def label_losses(
        self, states_BLD: Tensor, embedding_BD: Tensor, words_BL: Tensor, labels_BA: Tensor, known_BA: Tensor
    ) -> dict[str, Tensor]:
        """How well embedding and words tell what the captions say."""
        return {
            "embedding_labels": self.embedding_heads.loss(for_every_label(embedding_BD), labels_BA, known_BA),
            "word_labels": self.word_heads.loss(self.reader(states_BLD, words_BL), labels_BA, known_BA),
        }


def are_words(ids_BL: Tensor, tokenizer: CLIPTokenizer) -> Tensor:
    """True where a token is neither the start mark nor the end mark, which also pads."""
    words_BL: Tensor = (ids_BL != tokenizer.bos_token_id) & (ids_BL != tokenizer.eos_token_id)
    return words_BL


def rendered_captions(data: RenderedSet, index: np.ndarray, variant: int) -> Said:
    """Captions of rendered portraits, all labels, and which of them each caption states."""
    known = torch.from_numpy(np.stack([data.mention_mask(i, variant) for i in index]))
    return [data.captions[i][variant].text for i in index], torch.from_numpy(data.labels[index]), known


def new_captions(count: int, seed: int) -> Said:
    """Captions of portraits that nobody renders."""
    rng = np.random.default_rng([seed, 2])
    plan = next(plan for plan in SETS if plan.name == "clip")
    texts, labels, known = [], [], []
    for kind in rng.choice(len(CAPTION_KINDS), count, p=CAPTION_KINDS):
        (portrait,) = draw_views(plan, rng)
        text, names = write(plan, portrait, rng)[kind]
        texts.append(text)
        labels.append(class_indices(portrait.labels()))
        known.append([name in names for name in CLASSES])
    return texts, torch.tensor(labels), torch.tensor(known)


@torch.no_grad()
def embed_pictures(clip: CLIPModel, images: np.ndarray) -> Tensor:
    """Unit embeddings (N, 128) of uint8 pictures."""
    parts = [
        clip.get_image_features(pixel_values=to_pixels(images[part])).pooler_output
        for part in batches(len(images), 200)
    ]
    return F.normalize(torch.cat(parts), dim=-1)


def train_text(options: Options) -> None:
    """Train and checkpoint the stage, then encode the UNet's captions."""
    stage, data = options.stage("text"), load_set(options.cache, "clip")
    clip, tokenizer = load_clip(options, "clip")
    clip.requires_grad_(True)
    pictures_ND = embed_pictures(clip, data.images)
    torch.manual_seed(stage.seed)
    model = TextStage(clip)

    def loss_of(step: int, generator: torch.Generator) -> dict[str, Tensor]:
        matched = stage.batch // 2
        index = torch.randint(len(data), (matched,), generator=generator)
        variant = int(torch.randint(data.variants, (1,), generator=generator))
        shown = rendered_captions(data, index.numpy(), variant)
        fresh = new_captions(stage.batch - matched, seed=step)
        ids = tokenize(tokenizer, shown[0] + fresh[0])
        labels, known = (torch.cat(pair) for pair in zip(shown[1:], fresh[1:], strict=True))
        states, embedding = model(ids)
        logits = clip.logit_scale.exp() * embedding[:matched] @ pictures_ND[index].T
        losses = {"contrastive": contrastive_loss(logits, positives(shown[1], shown[2]))}
        return losses | model.label_losses(states, embedding, are_words(ids, tokenizer), labels, known)

    Trainer(model, stage, options).run(loss_of)
    measure_reading(model, tokenizer)
    cache_texts(options)


@torch.no_grad()
def measure_reading(model: TextStage, tokenizer: CLIPTokenizer, count: int = 500) -> None:
    """Print, by label, how often words and embedding of unseen captions are read correctly."""
    texts, labels, known = new_captions(count, seed=10**9)
    ids = tokenize(tokenizer, texts)
    states, embedding = model(ids)
    read = model.reader(states, are_words(ids, tokenizer))
    for column, name in enumerate(CLASSES):
        truth, said = labels[:, column], known[:, column]
        right = [
            (logits.argmax(dim=1) == truth)[said].float().mean()
            for logits in (
                model.word_heads[column](read[:, column]),
                model.embedding_heads[column](for_every_label(embedding)[:, column]),
            )
        ]
        print(f"text {name}: words {right[0]:.1%}, embedding {right[1]:.1%}", flush=True)
