"""Several models side by side, from the same texts and seeds: as a labelled grid, or as a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL.Image import Image

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import SampleSection
from spf_core.data import read_folder
from spf_core.errors import ConfigError, RunError, SpfError
from spf_core.sampling.sampler import comparison_grid
from spf_core.utils.prompts import Prompt
from spf_lab.report.html import document, facts, paragraph, section, tag
from spf_lab.report.pairs import Tile, described, pair_row, pairs_of
from spf_lab.report.slider import slider
from spf_lab.showing.texts import SIDE_BY_SIDE, SIDE_FOOT, SLIDER

BASE, PROMPTED = "base model", "base model + target"
_BASE_KEY = "original"  # the slider knows the base model by this key
LARGEST = 640  # pixels of a picture's side in the page


@dataclass(frozen=True)
class SideBySide:
    """Pictures of several models: `columns` has, by title, one for each of `pairs`. The first is the base's.

    `base` is the hash of the base weights, and `options` are those of the base model's pictures. `about` says
    how each column was made.
    """

    texts: Sequence[Prompt]
    seeds: Sequence[int]
    base: str
    options: SampleSection
    columns: Mapping[str, Sequence[Image]] = field(default_factory=dict)
    about: Sequence[tuple[str, str]] = ()

    def pairs(self) -> tuple[list[Prompt], list[int]]:
        """Each text with each seed, as two lists."""
        texts = [text for text in self.texts for _ in self.seeds]
        return texts, [seed for _ in self.texts for seed in self.seeds]

    def rows(self) -> Iterator[tuple[Prompt, int, list[Image]]]:
        """Text, seed and the picture of each column."""
        for text, seed, *images in zip(*self.pairs(), *self.columns.values(), strict=True):
            yield text, seed, images

    def facts(self) -> list[tuple[str, str]]:
        """Names and values that say how the pictures were made."""
        return [
            ("texts", "; ".join(text.complete_text for text in self.texts)),
            ("seeds", " ".join(map(str, self.seeds))),
            ("steps", str(self.options.steps)),
            ("guidance", f"{self.options.guidance:g}"),
            (BASE, f"weights `{self.base}`"),
            *self.about,
        ]


def column_titles(models: Sequence[Path], strengths: Sequence[float]) -> list[str]:
    """The models' names, with as many folders in front as tell them apart, and strengths that are not 1.

    ConfigError when a model is named twice at one strength.
    """
    places = [path.resolve() for path in models]
    if len(set(zip(places, strengths, strict=True))) < len(models):
        raise ConfigError("a run is named twice at one strength; name each once, or give other strengths")
    distinct = len(set(places))
    parts = next(
        depth
        for depth in range(1, max(len(path.parts) for path in places) + 1)
        if len({path.parts[-depth:] for path in places}) == distinct
    )
    named = ["/".join(path.parts[-parts:]) for path in places]
    named = [f"run {name}" if name in (BASE, PROMPTED, _BASE_KEY) else name for name in named]
    return [
        name if strength == 1 else f"{name} x {strength:g}"
        for name, strength in zip(named, strengths, strict=True)
    ]


def texts_of(model: Path, config: RunConfig, target: str) -> list[Prompt]:
    """The run's validation prompts, or its first training texts; `target` is in place of their targets.

    RunError when it has none of both.
    """
    own = [Prompt(each.base_text, each.target_text) for each in config.sample.validation_prompts]
    texts = own or _training_texts(config)[: config.sample.prompts]
    if not texts:
        raise RunError(
            f"'{model}' has no validation prompts and its training data is not here; give --prompt TEXT"
        )
    changed = [Prompt(each.base_text, target) for each in texts] if target else texts
    return list({each.complete_text: each for each in changed}.values())


def _training_texts(config: RunConfig) -> list[Prompt]:
    try:
        if config.data is None or not Path(config.data).exists():
            return []
        rows = read_folder(config.data, config.dataset, config.reader)
    except SpfError:  # of a reader that is not installed here, too
        return []
    return [row.prompt for row in rows]


def grid(shown: SideBySide) -> Image:
    """Prompts and seeds down, models across."""
    rows = {f"{text.complete_text}, seed {seed}": images for text, seed, images in shown.rows()}
    return comparison_grid(rows, list(shown.columns))


def page(shown: SideBySide) -> str:
    """The pictures as one HTML page, with a slider from the base model to each other column."""
    names = list(shown.columns)
    keys = [_BASE_KEY, *names[1:]]
    rows, kept = [], list(shown.rows())
    for number, (text, seed, images) in enumerate(kept):
        said = f"{text.complete_text}, seed {seed}"
        tiles = [
            Tile(key, name, image, f"{name}: {said}")
            for key, name, image in zip(keys, names, images, strict=True)
        ]
        row = {"base_text": text.complete_text, "seed": seed, "noise": number}
        rows.append(pair_row(row, described(row), tiles, largest=LARGEST))
    text, seed, images = kept[0]
    first = {"base_text": text.complete_text, "seed": seed}
    chosen = names.index(PROMPTED) + 1 if PROMPTED in names else 1
    order = [*names[chosen:], *names[1:chosen]]
    hero = slider([(name, name) for name in order], first, images[0], images[chosen], LARGEST)
    header = tag("header", tag("h1", _title(names)), paragraph(SIDE_BY_SIDE, class_="lead"))
    parts = [
        ("slider", "Slider", section("slider", "One over the other", paragraph(SLIDER), hero)),
        ("pictures", "Pictures", section("pictures", "All pictures", pairs_of(rows))),
        ("settings", "Settings", section("settings", "How they were sampled", facts(shown.facts()))),
    ]
    return document(_title(names), header, parts, foot=SIDE_FOOT)


def _title(names: Sequence[str]) -> str:
    models = [name for name in names if name not in (BASE, PROMPTED)]
    return f"{', '.join(models)} beside the base model"
