"""Stage `ceiling`: what the judges say of a perfect edit, the portrait itself rendered with its target.

No method can be expected to score better than the truth. Written to `weights/judges/ceiling.json`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from spf_core.evaluation.measure import measure
from spf_core.evaluation.scores import Scores, score
from spf_core.evaluation.statistics import Bootstrap
from spf_core.evaluation.subject import build_metrics
from spf_core.interfaces import Metric, Quadruples, UnseenPrompt
from spf_core.plugins import load_plugins
from spf_core.prompts import Prompt
from spf_plugins.portraits.pretrain.recipe import Options
from spf_plugins.portraits.pretrain.vae import load_vae, reconstruct
from spf_plugins.portraits.suite import PortraitsSuite
from spf_plugins.portraits.world.render import render
from spf_plugins.portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait
from spf_plugins.portraits.world.tailored import Item, evaluation_prompts

COUNT = 200
SILENT = ("background", "clothes", "expression")
SHOWN = ("sps", "effect", "spi", "hit_rate", "base_leak")


def measure_ceiling(options: Options) -> None:
    """Score the truth for every target and print it a line each."""
    suite, metrics = PortraitsSuite(str(options.weights / "judges")), build_metrics(load_plugins())
    vae, found = load_vae(options), {}
    for target in TARGETS:
        quads = truth(target, lambda portraits: through(vae, portraits))
        found[target] = plain(judged(suite, metrics, quads))
        print(target, found[target], flush=True)
    file = options.weights / "judges" / "ceiling.json"
    temporary = file.with_suffix(".tmp")
    text = json.dumps({"portraits": COUNT, "targets": found}, indent=2)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(file)


def truth(target: str, show: Any) -> Quadruples:
    """Portraits as A and D, the same with the target as B and C, and others of the same captions as A'."""
    items = evaluation_prompts(COUNT // 2, seed=0, split="test")
    named = [name for name in ATTRIBUTES if name not in SILENT]
    items += evaluation_prompts(COUNT // 2, seed=1, split="test", mention=named)
    portraits, rng = [portrait for portrait, _ in items], np.random.default_rng(2)
    plain_images = show(portraits)
    edited = show([replace(portrait, target=target) for portrait in portraits])
    again = show([another(item, rng) for item in items])
    seeds = tuple(range(len(items)))
    prompts = tuple(unseen(item, target) for item in items)
    return Quadruples(
        target, prompts, 1, seeds, seeds, plain_images, edited, edited, plain_images, again, plain_images[:4]
    )


def another(item: Item, rng: np.random.Generator) -> Portrait:
    """Somebody else of whom the caption is true as well."""
    portrait, caption = item
    kept = {name: getattr(portrait, name) for name in caption.mentioned}
    while True:
        stranger = replace(sample_portrait(rng), **kept)
        if (stranger.hair_style == "bald") == (stranger.hair_color == "none"):
            return stranger


def unseen(item: Item, target: str) -> UnseenPrompt:
    """The prompt that asks for the target."""
    portrait, caption = item
    mentioned = {name: portrait.labels()[name] for name in caption.mentioned}
    prompt = Prompt(caption.base_text, TARGETS[target].phrase, caption.base_phrases)
    return UnseenPrompt(prompt, mentioned)


def through(vae: Any, portraits: list[Portrait]) -> list[Image.Image]:
    """Renders as the autoencoder returns them: no tuned model draws sharper."""
    renders = np.stack([render(portrait) for portrait in portraits])
    return [Image.fromarray(image) for image in reconstruct(vae, renders)]


def judged(suite: PortraitsSuite, metrics: dict[str, Metric], quads: Quadruples) -> Scores:
    """The scores that `spf evaluate` would give."""
    return score(measure(suite, metrics, quads), Bootstrap(len(quads.prompts)))


def plain(scores: Scores) -> dict[str, float | None]:
    """Headline scores and parts, three decimals."""
    values = {name: scores.headline[name].value for name in SHOWN}
    values |= {name: part.value for name, part in scores.parts.items()}
    return {name: None if value is None else round(value, 3) for name, value in values.items()}
