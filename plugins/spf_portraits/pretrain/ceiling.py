"""Stage `ceiling`: what the judges say of a perfect edit, the portrait itself rendered with its target.

No method can be expected to score better than the truth. Written to `weights/judges/ceiling.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from diffusers import AutoencoderKL
from PIL import Image

from spf_core.interfaces import Metric, Quadruples
from spf_core.plugins.discovery import load_plugins
from spf_lab.evaluation.measure import measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.scores import Scores, score, stratum_scores
from spf_lab.evaluation.statistics import Bootstrap
from spf_portraits.judges.load import CEILING_FILE
from spf_portraits.pretrain.recipe import Options
from spf_portraits.pretrain.vae import reconstruct
from spf_portraits.suite import PortraitsSuite, unseen_prompt
from spf_portraits.world.render import render
from spf_portraits.world.spec import TARGETS, Portrait, sample_portrait
from spf_portraits.world.tailored import Item

COUNT = 200
Show = Callable[[list[Portrait]], list[Image.Image]]
SHOWN = ("sps", "effect", "spi", "hit_rate", "base_leak")


def measure_ceiling(options: Options) -> None:
    """Score the truth for every target and print it a line each."""
    suite = PortraitsSuite(str(options.weights / "judges"))
    metrics = purity_metrics(load_plugins(), suite).built
    vae, found = AutoencoderKL.from_pretrained(options.weights / "mini" / "vae").eval(), {}
    for target in TARGETS:
        quads = truth(suite, target, lambda portraits: through(vae, portraits))
        found[target] = judged(suite, metrics, quads)
        print(target, found[target], flush=True)
    file = options.weights / "judges" / CEILING_FILE
    temporary = file.with_suffix(".tmp")
    text = json.dumps({"portraits": COUNT, "targets": found}, indent=2)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(file)


def truth(suite: PortraitsSuite, target: str, show: Show, count: int = COUNT) -> Quadruples:
    """Portraits as A and D, the same with the target as B and C, and others of the same captions as A'."""
    items, rng = suite.unseen(count, seed=0, split="test"), np.random.default_rng(0)
    original = show([portrait for portrait, _ in items])
    edited = show([replace(portrait, target=target) for portrait, _ in items])
    again = show([another(item, rng) for item in items])
    return Quadruples(
        target=target,
        prompts=tuple(unseen_prompt(item, TARGETS[target]) for item in items),
        seeds=1,
        noise=tuple(range(count)),
        noise2=tuple(range(count)),
        a=original,
        b=edited,
        c=edited,
        d=original,
        a2=again,
        rerun=original[:4],
    )


def another(item: Item, rng: np.random.Generator) -> Portrait:
    """Somebody else of whom the caption is true as well."""
    portrait, caption = item
    kept = {name: getattr(portrait, name) for name in caption.mentioned}
    while True:
        stranger = replace(sample_portrait(rng), **kept)
        if (stranger.hair_style == "bald") == (stranger.hair_color == "none"):
            return stranger


def through(vae: Any, portraits: list[Portrait]) -> list[Image.Image]:
    """Renders as the autoencoder returns them: no tuned model draws sharper."""
    renders = np.stack([render(portrait) for portrait in portraits])
    return [Image.fromarray(image) for image in reconstruct(vae, renders)]


def judged(
    suite: PortraitsSuite, metrics: Mapping[str, Metric], quads: Quadruples
) -> dict[str, dict[str, float | None]]:
    """The scores that `spf evaluate` would give, of all portraits and of each stratum of their captions."""
    found = measure(suite, metrics, quads)
    several = {"all": score(found, Bootstrap(len(quads.prompts))), **stratum_scores(found)}
    return {name: plain(scores) for name, scores in several.items()}


def plain(scores: Scores) -> dict[str, float | None]:
    """Headline scores and parts, three decimals."""
    values = {name: scores.headline[name].value for name in SHOWN}
    values |= {name: part.value for name, part in scores.parts.items()}
    return {name: None if value is None else round(value, 3) for name, value in values.items()}
