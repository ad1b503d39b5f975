"""Prompts that ask for two learned targets at once: how often both are seen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL.Image import Image

from spf_core.interfaces import JointlyJudged, Suite, UnseenPrompt
from spf_core.runs.run import OpenRun
from spf_core.sampling.sampler import BeforeHandover
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.progress import Progress
from spf_lab.continual.judge import SEED
from spf_lab.continual.spec import ContinualSpec
from spf_lab.evaluation.drawing import unseen_prompts
from spf_lab.evaluation.originals import original_images
from spf_lab.evaluation.quadruples import noise_seeds, sample_tuned
from spf_lab.evaluation.scores import SEEN
from spf_lab.evaluation.subject import Subject

Pair = tuple[str, str]


def joint_pairs(suite: Suite, targets: Sequence[str]) -> tuple[list[Pair], str | None]:
    """The pairs of targets that can be judged at once, and why there are none."""
    if not isinstance(suite, JointlyJudged):
        return [], "the suite does not say which of its targets one picture can show"
    reasons = {pair: suite.why_not_joint(pair) for pair in combinations(targets, 2)}
    pairs = [pair for pair, reason in reasons.items() if reason is None]
    return pairs, None if pairs else next(iter(reasons.values()))


def write_joint(
    file: Path, run: OpenRun, spec: ContinualSpec, subjects: Mapping[str, Subject], progress: Progress
) -> None:
    """Ask the tuned and the original model for every pair; write which pictures show both targets.

    The file holds `not_applicable`, a reason or null, and for each pair `tuned` and `original`: a zero or one
    for each of prompts x seeds, prompt-major.
    """
    pairs, reason = joint_pairs(next(iter(subjects.values())).suite, tuple(subjects))
    found = [_hits(pair, run, spec, subjects, progress) for pair in pairs]
    atomic_write_text(file, json.dumps({"not_applicable": reason, "pairs": found}) + "\n")


def _hits(
    pair: Pair, run: OpenRun, spec: ContinualSpec, subjects: Mapping[str, Subject], progress: Progress
) -> dict[str, Any]:
    texts, seeds = _prompts(pair, spec, subjects), spec.evaluation.seeds
    options, suite = run.config.sample, subjects[pair[0]].suite
    base = [item.prompt.base_text for item in texts for _ in range(seeds)]
    complete = [item.prompt.complete_text for item in texts for _ in range(seeds)]
    tuned, _ = sample_tuned(
        run.backbone,
        run.adapter,
        texts,
        seeds,
        options,
        editor=run.editor,
        seed=SEED,
        base_images=[],
        progress=progress,
    )
    run.adapter.scale(0.0)
    try:
        noise, before_handover = (
            noise_seeds(len(texts), seeds, seed=SEED, draw=0),
            BeforeHandover(base, run.adapter),
        )
        original = original_images(
            run.backbone, complete, noise, options, before_handover=before_handover, progress=progress
        )
    finally:
        run.adapter.scale(1.0)
    return {
        "targets": list(pair),
        "tuned": _both(suite, tuned, pair),
        "original": _both(suite, original, pair),
    }


def _prompts(pair: Pair, spec: ContinualSpec, subjects: Mapping[str, Subject]) -> list[UnseenPrompt]:
    """The first target's prompts, which ask for the second as well."""
    options = spec.evaluation
    first, second = (
        unseen_prompts(subjects[target], options.prompts, seed=SEED, split=options.split) for target in pair
    )
    return [
        replace(
            one, prompt=replace(one.prompt, target_text=f"{one.prompt.target_text}, {two.prompt.target_text}")
        )
        for one, two in zip(first, second, strict=True)
    ]


def _both(suite: Suite, images: Sequence[Image], pair: Pair) -> list[int]:
    seen = [suite.target_probability(images, target) > SEEN for target in pair]
    shown: list[int] = (seen[0] & seen[1]).int().tolist()
    return shown
