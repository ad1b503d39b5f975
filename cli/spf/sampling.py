"""`spf.sample`: images of the base model and the tuned model from the same seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from spf.loading import refuse_existing
from spf.numbers import LAST_SEED, refuse_outside, refuse_strength
from spf.progress import Shown, showing
from spf.runs import Run, open_run
from spf.showing import png
from spf_core.errors import ConfigError, quoted
from spf_core.utils.prompts import Prompt, text_fault
from spf_core.utils.validation import MANY, explain

if TYPE_CHECKING:
    from PIL.Image import Image

    from spf_core.config.sections import SampleSection
    from spf_core.interfaces import PromptEditor
    from spf_core.runs.run import OpenRun
    from spf_core.utils.progress import Progress


@dataclass(frozen=True)
class Grid:
    """Rows of images by their labels, a column for each caption; in a notebook it shows itself as a picture.

    `facts` say how the images were made, and go into the PNG's metadata.
    """

    rows: "Mapping[str, Sequence[Image]]"
    captions: Sequence[str]
    facts: Mapping[str, str]

    @property
    def images(self) -> "Sequence[Image]":
        """Those of the last row, which the tuned model generated."""
        return list(self.rows.values())[-1]

    @property
    def picture(self) -> "Image":
        """All rows as one picture."""
        from spf_core.sampling.sampler import comparison_grid

        return comparison_grid(self.rows, self.captions)

    def save(self, file: str | Path) -> Path:
        """Write the picture as a PNG, whole or not at all; RunError where the place cannot be written."""
        from spf_core.sampling.sampler import save_png

        save_png(self.picture, Path(file), self.facts)
        return Path(file)

    def _repr_png_(self) -> bytes:
        return png(self.picture)


def sample(
    run: str | Path | Run,
    prompt: str,
    *,
    target: str = "",
    seeds: int = 4,
    first_seed: int = 0,
    strength: float = 1.0,
    compare: bool = False,
    steps: int | None = None,
    guidance: float | None = None,
    handover: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Shown = True,
) -> Grid:
    """Generate images, one for each seed, as `spf sample` does.

    Args:
        run: A finished run or its folder, or the runs that `spf.open_runs` combined.
        prompt: The base text.
        target: Target text, which is added to the prompt for the tuned model.
        seeds: Number of seeds, one column each.
        first_seed: The first seed. The others follow it.
        strength: Strength of the adapter: 0 is the base model, 1 the tuned model.
        compare: Add rows of the base model, under the prompt and, with a target, under prompt and target.
        steps: Number of sampler steps; by default that of the run, as the next two.
        guidance: Classifier-free guidance scale.
        handover: Fraction of the noise schedule where the tuned model takes over.
        out: A PNG file to write too.
        overwrite: Replace the file if it exists.
        progress: As of `spf.train`.

    Raises:
        spf_core.errors.SpfError: Of one line, which names the value, the place and the way out.
    """
    refuse_outside(1, MANY, seeds=seeds)
    refuse_outside(0, LAST_SEED, first_seed=first_seed)
    refuse_strength(strength)
    text = Prompt(checked_text(prompt), target.strip() or None)
    if out is not None:
        refuse_existing(Path(out), overwrite)
    opened, numbers = open_run(run), range(first_seed, first_seed + seeds)
    options = sample_options(opened.model, steps=steps, guidance=guidance, handover=handover)
    with showing(progress) as heard:
        rows = grid_rows(opened.model, text, numbers, strength, options, compare=compare, progress=heard)
    facts = {
        "prompt": text.base_text,
        "target": text.target_text or "",
        "strength": _strengths(opened, strength),
        "seeds": " ".join(map(str, numbers)),
        "run": "\n".join(folder.resolve().name for folder in _folders(opened)),
    }
    grid = Grid(rows, [f"seed {seed}" for seed in numbers], facts)
    if out is not None:
        grid.save(out)
    return grid


def _folders(run: Run) -> list[Path]:
    return [folder for folder, _ in run.combined] or [run.path]


def _strengths(run: Run, strength: float) -> str:
    return ",".join(f"{strength * own:g}" for _, own in run.combined or ((run.path, 1.0),))


def checked_text(prompt: str) -> str:
    """The prompt without blanks around it; ConfigError when nothing is left, or no tokenizer takes it."""
    if not prompt.strip():
        raise ConfigError('--prompt is empty; describe the portrait, as in --prompt "a woman with red hair"')
    if fault := text_fault(prompt):
        raise ConfigError(f"prompt {quoted(prompt)}: the text {fault}")
    return prompt.strip()


def grid_rows(
    opened: "OpenRun",
    text: "Prompt",
    seeds: Sequence[int],
    strength: float,
    options: "SampleSection",
    *,
    compare: bool,
    progress: "Progress",
) -> "dict[str, list[Image]]":
    """Labelled rows of same-seed images; the adapter is back at strength 1 afterwards."""
    texts = [text] * len(seeds)
    rows = original_rows(opened, texts, seeds, options, progress=progress) if compare else {}
    suffix = " + target" if text.target_text else ""
    at = "" if strength == 1 else f" x {strength:g}"
    drawn = tuned_images(opened, texts, seeds, strength, options, progress=progress, stage=f"tuned{suffix}")
    return {**rows, f"tuned{at}{suffix}": drawn}


def original_rows(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    seeds: Sequence[int],
    options: "SampleSection",
    *,
    progress: "Progress",
) -> "dict[str, list[Image]]":
    """What the base model draws of the base texts, each with its seed, and of the complete texts."""
    asked = {"original": [text.base_text for text in texts]}
    if any(text.target_text for text in texts):
        asked["original + target"] = [text.complete_text for text in texts]
    with opened.adapter.disabled():
        return {
            name: _draw(opened, texts, words, seeds, options, progress=progress, stage=name)
            for name, words in asked.items()
        }


def tuned_images(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    seeds: Sequence[int],
    strength: float,
    options: "SampleSection",
    *,
    progress: "Progress",
    stage: str,
) -> "list[Image]":
    """What the tuned model draws of each complete text with its seed; the adapter is then at strength 1."""
    words, editor = [text.complete_text for text in texts], opened.editor
    opened.adapter.scale(strength)
    try:
        return _draw(opened, texts, words, seeds, options, progress=progress, stage=stage, editor=editor)
    finally:
        opened.adapter.scale(1.0)


def _draw(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    words: Sequence[str],
    seeds: Sequence[int],
    options: "SampleSection",
    *,
    progress: "Progress",
    stage: str,
    editor: "PromptEditor | None" = None,
) -> "list[Image]":
    from spf_core.sampling.sampler import BeforeHandover, sample_images

    return sample_images(
        opened.backbone,
        words,
        seeds,
        options,
        before_handover=BeforeHandover([text.base_text for text in texts], opened.adapter),
        editor=editor,
        progress=progress,
        stage=stage,
    )


def sample_options(opened: "OpenRun", **flags: float | None) -> "SampleSection":
    """The run's sampling options, with given flags in their place; ConfigError for a wrong one."""
    from spf_core.config.sections import SampleSection

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return SampleSection.model_validate({**opened.config.sample.model_dump(), **given})
    except ValidationError as error:
        raise ConfigError(explain(error, "sample", SampleSection)) from None
