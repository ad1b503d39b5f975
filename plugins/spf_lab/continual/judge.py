"""Judges one tuned model on several targets: images with each target text, and with none."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PIL.Image import Image

from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun
from spf_core.utils.progress import Progress
from spf_lab.benchmark.plan import data_folder
from spf_lab.continual.spec import ContinualSpec
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.columns import ScoreTable
from spf_lab.evaluation.drawing import bound, unseen_prompts
from spf_lab.evaluation.measure import measure
from spf_lab.evaluation.metrics import purity_metrics
from spf_lab.evaluation.provenance import provenance
from spf_lab.evaluation.quadruples import generate
from spf_lab.evaluation.results import pair_rows, write_results
from spf_lab.evaluation.run import summarise
from spf_lab.evaluation.subject import Subject, find_subject

SEED = 0  # of the prompts and their noise, as in `spf evaluate`


def find_subjects(spec: ContinualSpec, out: Path, plugins: Plugins) -> dict[str, Subject]:
    """Every target with its trained text; none is judged on a base text that any of them trained.

    Thereby a suite whose base texts do not depend on the target gives all of them the same ones.
    """
    found = {
        target: find_subject(str(data_folder(out, target)), plugins, suite=spec.suite, target=target)
        for target in spec.targets
    }
    seen = frozenset[str]().union(*(subject.seen_texts for subject in found.values()))
    return {target: replace(subject, seen_texts=seen) for target, subject in found.items()}


class StageJudge:
    """Judges a run; pictures of base texts, which name no target, are drawn once for all of them."""

    def __init__(
        self,
        run: OpenRun,
        plugins: Plugins,
        spec: ContinualSpec,
        subjects: Mapping[str, Subject],
        progress: Progress,
    ) -> None:
        self.run, self.spec, self.subjects, self.progress = run, spec, subjects, progress
        (self.purity, *_) = (purity_metrics(plugins, subject.suite) for subject in subjects.values())
        self._drawn: dict[tuple[str, ...], list[Image]] = {}

    def __call__(self, target: str, out: Path) -> None:
        """Write results.json and pairs.jsonl as `spf evaluate` does, without pictures and figures."""
        run, subject, options = self.run, self.subjects[target], self.spec.evaluation
        texts = unseen_prompts(subject, options.prompts, seed=SEED, split=options.split)
        base = tuple(item.prompt.base_text for item in texts)
        quads = generate(
            run.backbone,
            run.adapter,
            texts,
            options.seeds,
            run.config.sample,
            target=target,
            editor=run.editor,
            seed=SEED,
            base_images=self._drawn.get(base),
            progress=self.progress,
        )
        self._drawn[base] = quads.d
        subject = replace(subject, suite=bound(subject, run, quads))
        found = measure(CachedSuite(subject.suite), self.purity.built, quads)
        made = provenance(run, subject, self.purity, run.config.sample, SEED)
        results = summarise(subject, quads, found, ScoreTable(), split=options.split, provenance=made)
        out.mkdir(parents=True, exist_ok=True)
        write_results(out, results, pair_rows(quads, found, ScoreTable()))
