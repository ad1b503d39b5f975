"""`python tests/bench/judges.py`: do judges of photographs rank runs as those of the portraits do?

For every published cell that keeps pictures, and its first pairs, SPI, E and SPS by four judges of the same
pictures: (a) the suite `portraits`; (b) the suite `photos` with the portraits' networks as its judges of
identity, parts, structure and attributes, and mini's CLIP as its judge of the target; (c) the light set of
`photos` with mini's CLIP, VAE and attention; (d) the same with the portraits' words for attributes, as mini's
CLIP never read those of `photos`. Rank correlations over cells with (a) are pooled and by target.

Pictures C, and A of one cell of each target, are those of the published sheets. A' is drawn again with the
recorded noise seeds. All pass through the same lossy compression. Writes docs/results/judges.json and .md.
"""

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import kendalltau, rankdata, spearmanr

from spf_core.config.sections import SampleSection
from spf_core.data import load_image, read_folder
from spf_core.interfaces import Quadruples, Suite, UnseenPrompt
from spf_core.plugins.discovery import load_plugins
from spf_core.sampling.sampler import sample_images
from spf_core.utils.prompts import Prompt
from spf_lab.benchmark.archive import is_finished
from spf_lab.benchmark.collect import Finished, read_cells
from spf_lab.benchmark.plan import all_cells
from spf_lab.benchmark.spec import read_benchmark
from spf_lab.evaluation.measure import measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.quadruples import noise_seeds
from spf_lab.evaluation.scores import score
from spf_lab.evaluation.statistics import Bootstrap
from spf_photos.judges import Judges
from spf_photos.judges.contrast import Attributes
from spf_photos.judges.light import own_clip
from spf_photos.judges.target import target_judge
from spf_photos.options import PhotosConfig
from spf_photos.suite import PhotosSuite
from spf_portraits import Mini
from spf_portraits.pretrain.zero_shot import attribute_phrases
from spf_portraits.suite import PortraitsSuite
from spf_portraits.world.spec import ATTRIBUTES as PORTRAIT_ATTRIBUTES

RESULTS = Path(__file__).parents[2] / "docs" / "results"
MEASURES = ("spi", "effect", "sps")
QUALITY = 92  # of the sheets
RESAMPLES = 2000
POOLED = ("all", "within targets")
NEGATIVES = 50  # pictures of the base model that the judge of the target is calibrated on
JUDGES = {
    "portraits": "the portraits' own judges, on the same pictures",
    "photos": "the formulas of `photos`: the portraits' networks, mini's CLIP for the target",
    "light": "the light set of `photos`: mini's CLIP, VAE and attention",
    "light-own-words": "the same, with the words for attributes that mini's CLIP was trained on",
    "published": "the portraits' own judges on all pairs of the cell, as published",
}
# What the words of a target allow in `photos`, in the names of the portraits' judges.
PARTS = {
    "hat": ("headwear",),
    "hair": ("hair",),
    "eye_g": ("accessory",),
    "eyes": ("eyes",),
    "brows": ("eyebrows",),
    "skin": ("skin", "cheeks", "facial_hair"),
    "lips": ("mouth",),
}
ATTRIBUTES = {
    "hair_color": "hair_color",
    "hair_style": "hair_style",
    "skin_tone": "skin",
    "expression": "expression",
    "eyewear": "eyes",
    "clothes": "clothes",
    "background": "background",
    "framing": "framing",
}


class NoAdapter:
    """The base model has none."""

    def disabled(self) -> nullcontext[None]:
        return nullcontext()


class PortraitsNetworks(PhotosSuite):
    """The suite `photos` with the portraits' networks as its judges."""

    world = PortraitsSuite()

    def bind(self, backbone: Any, positives: list[Image.Image], negatives: Sequence[Image.Image]) -> None:
        world, assert_target = self.world, self.target or ""
        of_target = target_judge(own_clip(backbone, NoAdapter()), assert_target, positives, negatives)
        names = [name for part in self.allowance.parts for name in PARTS.get(part, ())]
        numbers = frozenset(world.judges.parts.index(name) for name in names)
        self.attributes = world.attributes
        self._positives = positives
        self._judges = Judges(
            target=of_target.ask,
            calibrated=of_target.calibrated,
            note=of_target.note,
            attributes=world.attribute_probabilities,
            features=world.patch_features,
            identity=world.identity,
            parts=world.segment,
            region=world.segment,
            region_parts=numbers,
            allowed_parts=numbers,
            grid=(64, 64),
            provenance={},
        )

    def allowed_attributes(self, target: str) -> frozenset[str]:
        return frozenset(ATTRIBUTES[name] for name in self.allowance.attributes if name in ATTRIBUTES)


class OwnWords(PhotosSuite):
    """The light set, with the portraits' words for the values of attributes."""

    def bind(
        self, backbone: Any, positives: list[Image.Image], negatives: Sequence[Image.Image]
    ) -> "OwnWords":
        light = self.with_model(backbone, NoAdapter(), positives=positives, negatives=negatives)
        assert light._judges is not None
        phrases = {name: attribute_phrases(name) for name in PORTRAIT_ATTRIBUTES}
        own = Attributes(own_clip(backbone, NoAdapter()), phrases)
        self.attributes = {name: tuple(values) for name, values in phrases.items()}
        self._judges, self._positives = replace(light._judges, attributes=own), positives
        return self

    def allowed_attributes(self, target: str) -> frozenset[str]:
        return frozenset(ATTRIBUTES[name] for name in self.allowance.attributes if name in ATTRIBUTES)


def compressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY, method=6)
    return Image.open(stream).convert("RGB")


def published_cells() -> tuple[Any, list[Finished]]:
    out = RESULTS / "portraits"
    spec = read_benchmark(out / "benchmark.yaml")
    cells = [cell for cell in all_cells(spec) if is_finished(cell, out)]
    return spec, [cell for cell in read_cells(cells, out) if cell.sheet]


def first_pairs(cell: Finished, count: int) -> list[int]:
    return [prompt * cell.results["n_seeds"] for prompt in range(count)]


@cache
def redrawn(texts: tuple[str, ...], noise: tuple[int, ...], options: SampleSection) -> list[Image.Image]:
    """Pictures of the base model, compressed as those of the sheets; targets share their base texts."""
    return [compressed(image) for image in sample_images(mini(), texts, noise, options)]


@cache
def mini() -> Any:
    return Mini(path=None).build()


def originals(cell: Finished, pairs: Sequence[int], draw: int) -> list[Image.Image]:
    """A (`draw` 0) or A' (1) of some pairs."""
    results = cell.results
    known = {key: value for key, value in results["sampling"].items() if key in SampleSection.model_fields}
    seed = results["seeds"]["evaluation"]
    noise = noise_seeds(results["n_prompts"], results["n_seeds"], seed=seed, draw=draw)
    texts = tuple(cell.rows[pair]["base_text"] for pair in pairs)
    return redrawn(texts, tuple(noise[pair] for pair in pairs), SampleSection(**known))


def shown(cell: Finished, pairs: Sequence[int], role: str) -> list[Image.Image]:
    assert cell.sheet is not None
    return [cell.sheet.pictures(pair).roles[role] for pair in pairs]


def quadruples(
    cell: Finished, pairs: Sequence[int], a: list[Image.Image], a2: list[Image.Image]
) -> Quadruples:
    c = shown(cell, pairs, "tuned")
    prompts = tuple(
        UnseenPrompt(Prompt(cell.rows[pair]["base_text"], cell.results["target_text"]), {}) for pair in pairs
    )
    noise = tuple(cell.rows[pair]["noise"] for pair in pairs)
    return Quadruples(cell.cell.target, prompts, 1, noise, noise, a, c, c, c, a2, [])


def scores_of(suite: Suite, quads: Quadruples, plugins: Any) -> dict[str, float | None]:
    found = measure(suite, purity_metrics(plugins, suite).built, quads)
    values = score(found, Bootstrap(len(quads.prompts), resamples=1))
    parts = {name: part.value for name, part in values.parts.items()}
    return {**{name: values.headline[name].value for name in MEASURES}, **parts}


def training_pictures(spec: Any, target: str) -> list[Image.Image]:
    with TemporaryDirectory() as folder:
        data, where = spec.data, Path(folder)
        PortraitsSuite().write_training_set(
            where, target=target, count=data.count, bias=dict(data.bias), seed=data.seed, size=data.size
        )
        return [Image.fromarray(load_image(row, data.size)) for row in read_folder(where)]


def judged(count: int) -> list[dict[str, Any]]:
    spec, cells = published_cells()
    plugins, backbone = load_plugins(), mini()
    found = []
    for target in dict.fromkeys(cell.cell.target for cell in cells):
        several = [cell for cell in cells if cell.cell.target == target]
        pairs, text = first_pairs(several[0], count), several[0].results["target_text"]
        assert several[0].results["model_hash"] == backbone.fingerprint()
        (complete,) = [cell for cell in several if cell.sheet and "original" in cell.sheet.layout.tiles]
        a, a2 = shown(complete, pairs, "original"), originals(complete, pairs, draw=1)
        negatives = originals(complete, first_pairs(complete, NEGATIVES), draw=0)
        positives = [compressed(image) for image in training_pictures(spec, target)]
        formulas = PortraitsNetworks(PhotosConfig(judges="full"), text)
        formulas.purity = PortraitsSuite.purity
        formulas.bind(backbone, positives, negatives)
        light = PhotosSuite(PhotosConfig(), text).with_model(
            backbone, NoAdapter(), positives=positives, negatives=negatives
        )
        suites = {"portraits": PortraitsSuite(), "photos": formulas, "light": light}
        suites["light-own-words"] = OwnWords(PhotosConfig(), text).bind(backbone, positives, negatives)
        for cell in several:
            quads = quadruples(cell, pairs, a, a2)
            row: dict[str, Any] = {"cell": cell.cell.name, "target": target}
            for name, suite in suites.items():
                row[name] = scores_of(suite, quads, plugins)
            row["published"] = {name: cell.results[name]["value"] for name in MEASURES}
            found.append(row)
            print(row["cell"], *(f"{name} {_short(row[name]['spi'])}" for name in JUDGES), flush=True)
    return found


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


Rank = Callable[[Any, Any], Any]


def correlation(rows: Sequence[Mapping[str, Any]], judge: str, measure_: str, rank: Rank) -> dict[str, Any]:
    """The rank correlation with the portraits' own judges over cells, with a bootstrap interval over them."""
    pairs = [(row["portraits"][measure_], row[judge][measure_]) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2)
    if len(known) < 3:
        return {"value": None, "ci": [None, None], "cells": len(known)}
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        sample = known[rng.integers(0, len(known), len(known))]
        if len(np.unique(sample[:, 0])) > 1 and len(np.unique(sample[:, 1])) > 1:
            drawn.append(float(rank(sample[:, 0], sample[:, 1]).statistic))
    value = float(rank(known[:, 0], known[:, 1]).statistic)
    ends = np.quantile(drawn, [0.025, 0.975]) if drawn else (np.nan, np.nan)
    clean = [None if np.isnan(each) else round(float(each), 3) for each in (value, *ends)]
    return {"value": clean[0], "ci": clean[1:], "cells": len(known)}


def ranked(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scores replaced by their ranks among the cells of a target: targets alone then correlate nothing."""
    found: list[dict[str, Any]] = []
    for target in dict.fromkeys(row["target"] for row in rows):
        several = [row for row in rows if row["target"] == target]
        ranks = {
            (judge, name): rankdata([row[judge][name] or 0.0 for row in several])
            for judge in JUDGES
            for name in MEASURES
        }
        for place in range(len(several)):
            found.append(
                {judge: {name: ranks[judge, name][place] for name in MEASURES} for judge in JUDGES}
                | {"target": target}
            )
    return found


def correlations(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups = {"all": rows, "within targets": ranked(rows)}
    for target in dict.fromkeys(row["target"] for row in rows):
        groups[target] = [row for row in rows if row["target"] == target]
    return [
        {
            "judge": judge,
            "measure": measure_,
            "cells_of": group,
            "spearman": correlation(chosen, judge, measure_, spearmanr),
            "kendall": correlation(chosen, judge, measure_, kendalltau),
        }
        for judge in JUDGES
        if judge != "portraits"
        for measure_ in MEASURES
        for group, chosen in groups.items()
    ]


def page(found: Sequence[Mapping[str, Any]], count: int) -> str:
    """The correlations as a table."""

    def cell(value: Mapping[str, Any]) -> str:
        if value["value"] is None:
            return "-"
        low, high = ("-" if end is None else f"{end:.2f}" for end in value["ci"])
        return f"{value['value']:.2f} [{low}, {high}]"

    lines = [
        "# Do the judges of photographs rank runs alike?",
        "",
        f"Rank correlations over the published cells that keep images, {count} pairs each, with the scores",
        "that the judges of the embedded portraits give the very same images. 95 % intervals: bootstrap over",
        "cells. *all* pools the targets, so that differences between targets",
        "count too. *within targets* ranks the cells of each target first. `tests/bench/judges.py` makes",
        "this page. [judges.json](judges.json) holds the scores of every cell, and the correlations of each",
        "target.",
        "",
        *(f"- `{name}`: {meaning}." for name, meaning in JUDGES.items()),
        "",
        "These are avatars and not photographs. The table says how far the formulas and the light judges",
        "agree with judges that were trained on ground truth. It says nothing about how well CLIP, DINOv2 or",
        "a face parser sees a photograph. `published` shows what the small number of pairs costs alone.",
        "",
        "| judges | score | cells | number | Spearman | Kendall |",
        "|---|---|---|---|---|---|",
    ]
    for row in [each for each in found if each["cells_of"] in POOLED]:
        cells = f"{row['cells_of']} | {row['spearman']['cells']}"
        ranks = f"{cell(row['spearman'])} | {cell(row['kendall'])}"
        lines.append(f"| `{row['judge']}` | {row['measure']} | {cells} | {ranks} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="Read the scores of judges.json in --out.")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    if options.again:
        rows = json.loads((options.out / "judges.json").read_text(encoding="utf-8"))["cells"]
    else:
        rows = judged(options.pairs)
    found = correlations(rows)
    content = {"pairs": options.pairs, "judges": JUDGES, "cells": rows, "correlations": found}
    (options.out / "judges.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (options.out / "judges.md").write_text(page(found, options.pairs), encoding="utf-8")
    for row in found:
        print(row["judge"], row["measure"], row["cells_of"], row["spearman"], row["kendall"])


if __name__ == "__main__":
    main()
