"""Same-seed images of the original and the tuned model, and a re-seeded original to measure against."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL.Image import Image

from spf_core.config.sections import SampleSection
from spf_core.interfaces import Adapter, Backbone, PromptEditor, Quadruples, UnseenPrompt
from spf_core.sampling.sampler import Opening, sample_images
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.progress import Progress, silent
from spf_lab.evaluation.originals import original_images


def noise_seeds(prompts: int, seeds: int, *, seed: int, draw: int) -> tuple[int, ...]:
    """N = prompts x seeds distinct noise seeds, prompt-major; `draw` 0 is for A to D, 1 for the re-seed A'.

    A pair's seed depends neither on how many prompts nor on how many seeds there are.
    """
    return tuple(
        int(np.random.SeedSequence([seed, draw, prompt, nested]).generate_state(1)[0])
        for prompt in range(prompts)
        for nested in range(seeds)
    )


def generate(
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[UnseenPrompt],
    seeds: int,
    options: SampleSection,
    *,
    target: str,
    editor: PromptEditor | None = None,
    seed: int = 0,
    base_images: list[Image] | None = None,
    progress: Progress = silent,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Quadruples:
    """Sample A, B, C, D and A' for every prompt and seed; A, B and A' come from the cache when they can.

    They can when the first batch of A, drawn here, has the very pixels of the cached A, and B and A' were
    kept beside that A: else what another machine, setting or version drew would count as a change.
    `base_images` are D, when they were drawn before: base texts are the same for every target.
    The adapter is at strength 0 for A, B and A', at 1 for C and D, and stays at 1. With `sample.handover`
    below 1 the original model opens B, C and D from the base text, as it does in use. Processes `group`
    share the drawing; others than the main one get no images.
    """
    base = [item.prompt.base_text for item in prompts for _ in range(seeds)]
    complete = [item.prompt.complete_text for item in prompts for _ in range(seeds)]
    noise, noise2 = (noise_seeds(len(prompts), seeds, seed=seed, draw=draw) for draw in (0, 1))
    again = slice(options.batch_size)  # a whole batch: CUDA draws one of another size with other kernels
    watched: dict[str, Any] = {"progress": progress, "group": group}
    adapter.scale(0.0)
    try:
        rerun = sample_images(backbone, base[again], noise[again], options, group=group)
        a = original_images(
            backbone, base, noise, options, begins=rerun, stage="original, base text", **watched
        )
        b, a2 = (
            original_images(
                backbone,
                texts,
                drawn,
                options,
                opening=opening,
                beside=a,
                stage=f"original, {stage}",
                **watched,
            )
            for texts, drawn, opening, stage in (
                (complete, noise, Opening(base, adapter), "complete text"),
                (base, noise2, None, "another seed"),
            )
        )
    finally:
        adapter.scale(1.0)
    tuned: dict[str, Any] = {"editor": editor, "seed": seed, "base_images": base_images}
    c, d = draw_tuned(backbone, adapter, prompts, seeds, options, **tuned, **watched)
    return Quadruples(target, tuple(prompts), seeds, noise, noise2, a, b, c, d, a2, rerun)


def draw_tuned(
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[UnseenPrompt],
    seeds: int,
    options: SampleSection,
    *,
    editor: PromptEditor | None = None,
    seed: int = 0,
    strength: float = 1.0,
    base_images: list[Image] | None = None,
    progress: Progress = silent,
    group: ProcessGroup = SINGLE_PROCESS,
) -> tuple[list[Image], list[Image]]:
    """C and D with the adapter at `strength`; it is back at 1 afterwards. D may have been drawn before."""
    base = [item.prompt.base_text for item in prompts for _ in range(seeds)]
    complete = [item.prompt.complete_text for item in prompts for _ in range(seeds)]
    noise, opening = noise_seeds(len(prompts), seeds, seed=seed, draw=0), Opening(base, adapter)
    name = "tuned" if strength == 1 else f"tuned x {strength:g}"
    wanted = [(complete, "complete text"), *([(base, "base text")] if base_images is None else [])]
    adapter.scale(strength)
    try:
        c, *drawn = (
            sample_images(
                backbone,
                texts,
                noise,
                options,
                opening=opening,
                editor=editor,
                progress=progress,
                group=group,
                stage=f"{name}, {stage}",
            )
            for texts, stage in wanted
        )
    finally:
        adapter.scale(1.0)
    return c, base_images if base_images is not None else drawn[0]
