"""The images of an evaluation: its prompts, and all images of them. Processes can share the sampling."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from spf_core.config.sections import SampleSection
from spf_core.data import Row, load_image
from spf_core.interfaces import NeedsModel, Quadruples, Suite, UnseenPrompt
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt
from spf_lab.evaluation.quadruples import generate
from spf_lab.evaluation.strengths import check_strengths, sample_strengths
from spf_lab.evaluation.subject import Subject, find_subject

OWN = "own"  # the split of prompts that the user gives
EXAMPLES = 64  # training images that a suite's judges may look at
_log = logging.getLogger("spf")


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """Which images an evaluation samples.

    `target` and `suite` default to what the run's training folder is known for, `sample` to the run's own
    options. `target_text` are the words of the target in prompts, by default those that the folder trains
    most often. With `strengths` the evaluation samples at other strengths of the adapter too. `texts` are
    base texts to use in place of the suite's prompts; `suite_options` are those of the suite as
    NAME.OPTION=VALUE.
    """

    suite: str | None = None
    suite_options: Sequence[str] = ()
    target: str | None = None
    target_text: str | None = None
    prompts: int = 50
    texts: Sequence[str] = ()
    seeds: int = 2
    split: str = "test"
    seed: int = 0
    sample: SampleSection | None = None
    strengths: Sequence[float] = ()


@dataclass(frozen=True)
class EvaluationImages:
    """The images to judge: at strength 1, and at other strengths."""

    subject: Subject
    quads: Quadruples
    strengths: Mapping[float, Quadruples]


def draw(
    run: OpenRun,
    plugins: Plugins,
    plan: EvaluationPlan,
    *,
    progress: Progress = silent,
    group: ProcessGroup = SINGLE_PROCESS,
) -> EvaluationImages:
    """Find the unseen prompts and sample their images.

    Of several processes `group` each draws its share, and the main one has all pictures in the end, the
    others none.
    """
    check_strengths(plan.strengths)
    subject = subject_of(run, plugins, plan)
    options = plan.sample or run.config.sample
    quads = generate(
        run.backbone,
        run.adapter,
        planned_prompts(subject, plan),
        plan.seeds,
        options,
        target=subject.target,
        editor=run.editor,
        seed=plan.seed,
        progress=progress,
        group=group,
    )
    at = sample_strengths(run, quads, plan.strengths, options, seed=plan.seed, progress=progress, group=group)
    return EvaluationImages(subject, quads, at)


def subject_of(run: OpenRun, plugins: Plugins, plan: EvaluationPlan) -> Subject:
    """What the run is judged on; ConfigError as of `find_subject`."""
    config = run.config
    subject = find_subject(
        config.data,
        plugins,
        suite=plan.suite,
        target=plan.target,
        dataset=config.dataset,
        reader=config.reader,
        backbone=config.backbone.name,
        options=plan.suite_options,
    )
    return subject if plan.target_text is None else replace(subject, target_text=plan.target_text)


def bound(subject: Subject, run: OpenRun, quads: Quadruples) -> Suite:
    """The subject's suite, with the run's base model and training images where its judges read them."""
    if not isinstance(subject.suite, NeedsModel):
        return subject.suite
    side = run.backbone.image_size
    positives = [Image.fromarray(load_image(row, side)) for row in _spread(subject.examples, EXAMPLES)]
    return subject.suite.with_model(run.backbone, run.adapter, positives=positives, negatives=quads.a)


def planned_prompts(subject: Subject, plan: EvaluationPlan) -> list[UnseenPrompt]:
    """The plan's own texts with the target, or else the suite's unseen prompts."""
    if not plan.texts:
        return unseen_prompts(subject, plan.prompts, seed=plan.seed, split=plan.split)
    if trained := [text for text in plan.texts if text in subject.seen_texts]:
        _log.warning(
            "prompts that are base texts of the training data: %d of %d, as '%s'",
            len(trained),
            len(plan.texts),
            trained[0],
        )
    target = subject.target_text
    if target is None:
        (first,) = subject.suite.prompts(subject.target, 1, seed=plan.seed, split="dev")
        target = first.prompt.target_text
    return [UnseenPrompt(Prompt(text, target), {}) for text in plan.texts]


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """At most `count` of the rows, evenly spread."""
    chosen = min(count, len(rows))
    return [rows[place * len(rows) // chosen] for place in range(chosen)]


def unseen_prompts(subject: Subject, count: int, *, seed: int, split: str) -> list[UnseenPrompt]:
    """The suite's prompts without any base text of the training folder, with the target text it trained."""
    found = subject.suite.prompts(subject.target, count, seed=seed, split=split, avoid=subject.seen_texts)
    if subject.target_text is None:
        return found
    return [replace(item, prompt=replace(item.prompt, target_text=subject.target_text)) for item in found]
