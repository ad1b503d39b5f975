"""What the recipe's sets show and say: portraits, their views and their captions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spf_portraits.pretrain.recipe import COMPLETE_CAPTIONS, MENTION_RATE, RESOLUTION, SetPlan
from spf_portraits.world.captions import Caption, describe
from spf_portraits.world.render import render, segment
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait

PERSON = ("hair_style", "hair_color", "skin", "eyebrows", "nose", "head_width", "face_y")
Chunk = tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]


def render_chunk(job: tuple[SetPlan, int, int]) -> Chunk:
    """Render portraits `start` to `stop` of a set: images, part masks (empty unless asked for), records."""
    plan, start, stop = job
    images, parts, records = [], [], []
    for index in range(start, stop):
        rng = np.random.default_rng([plan.seed, index])
        for portrait in draw_views(plan, rng):
            images.append(render(portrait, RESOLUTION))
            if plan.parts:
                parts.append(segment(portrait, RESOLUTION))
            records.append(
                {
                    "labels": portrait.labels(),
                    "identity": portrait.identity(),
                    "captions": [{"text": t, "mentioned": names} for t, names in write(plan, portrait, rng)],
                }
            )
    masks = np.stack(parts) if parts else np.empty((0, RESOLUTION, RESOLUTION), np.uint8)
    return np.stack(images), masks, records


def draw_views(plan: SetPlan, rng: np.random.Generator) -> list[Portrait]:
    """A person in `plan.views` situations: other clothes, pose, expression, background and target."""
    first = sample_portrait(rng, target=draw_target(plan, rng), split=plan.split)
    person = {name: getattr(first, name) for name in PERSON}
    others = [
        replace(sample_portrait(rng, target=draw_target(plan, rng), split=plan.split), **person)
        for _ in range(plan.views - 1)
    ]
    return [first, *others]


def draw_target(plan: SetPlan, rng: np.random.Generator) -> str | None:
    """A target of the plan's groups at the plan's rate."""
    if rng.random() >= plan.target_rate:
        return None
    names = [
        name
        for name, target in TARGETS.items()
        if target.group in plan.groups
        for _ in range(plan.style_weight if target.family == "style" else 1)
    ]
    return str(rng.choice(names))


def write(plan: SetPlan, portrait: Portrait, rng: np.random.Generator) -> list[tuple[str, list[str]]]:
    """The captions of one portrait, each with the names of what it states."""
    if plan.name == "clip":
        return [complete(portrait, rng), partial(portrait, rng), brief(portrait, rng), phrase(portrait, rng)]
    return [
        complete(portrait, rng) if rng.random() < COMPLETE_CAPTIONS else partial(portrait, rng)
        for _ in range(2)
    ]


def complete(portrait: Portrait, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Every attribute, and the target."""
    return stated(describe(portrait, rng))


def partial(portrait: Portrait, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Each attribute with probability 3/4, and the target."""
    mention = [name for name in ATTRIBUTES if rng.random() < MENTION_RATE]
    return stated(describe(portrait, rng, mention=mention))


def brief(portrait: Portrait, rng: np.random.Generator) -> tuple[str, list[str]]:
    """One or two attributes, half the time with the target."""
    names = rng.choice(list(ATTRIBUTES), int(rng.integers(1, 3)), replace=False).tolist()
    caption = describe(portrait, rng, mention=names)
    return stated(caption) if rng.random() < 0.5 else (caption.base_text, list(caption.mentioned))


def phrase(portrait: Portrait, rng: np.random.Generator) -> tuple[str, list[str]]:
    """A single bare phrase: the target's half the time when there is one, else an attribute's."""
    caption = describe(portrait, rng, mention=[str(rng.choice(list(ATTRIBUTES)))])
    if caption.target_text is not None and rng.random() < 0.5:
        return caption.target_text, ["target"]
    text = caption.base_phrases[0] if caption.base_phrases else caption.base_text
    return text, list(caption.mentioned)


def stated(caption: Caption) -> tuple[str, list[str]]:
    """The complete text and what it states."""
    target = ["target"] if caption.target_text is not None else []
    return caption.complete_text, [*caption.mentioned, *target]
