"""`spf.evaluate` and `spf.score`: hit rate, effect and pollution of runs, and of files of any trainer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.bars import prefixed
from spf.loading import load_plugins, refuse_filled
from spf.numbers import refuse_outside, refuse_strength
from spf.progress import Shown, showing
from spf.runs import Run, open_run
from spf.sampling import Grid, checked_text
from spf.showing import Table, lines_html, picture_html
from spf_core.errors import ConfigError, RunError, quoted, short
from spf_core.utils.distributed import init_distributed
from spf_core.utils.validation import MANY
from spf_lab.evaluation.readout import Results, result_rows

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_lab.scoring.run import Request
    from spf_lab.scoring.sources import Source

OF_BASE = ("backbone", "sample", "dataset")  # settings of `spf.score` besides those of scores and suites
SPLITS = ("test", "dev")
Prompts = int | str | Path | Sequence[str]
Settings = Mapping[str, Any] | Sequence[str]  # options by name, or assignments of the command line


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation in its folder `path`. In a notebook it shows table and pictures."""

    path: Path

    @cached_property
    def results(self) -> Results:
        """What `results.json` holds: each measure's `value` with `ci`, its 95 % interval."""
        from spf_lab.evaluation.saved import RESULTS_FILE, read_results

        file = self.path / RESULTS_FILE
        try:
            return read_results(self.path)
        except OSError:
            raise RunError(f"'{self.path}' has no {RESULTS_FILE}; give a folder of spf evaluate") from None
        except ValueError as error:
            raise RunError(f"'{file}' is damaged ({error}); delete that folder and evaluate again") from None

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """A mapping for each prompt and seed: its texts, its distances and scores."""
        from spf_core.utils.json_text import read_json_lines
        from spf_lab.evaluation.saved import PAIRS_FILE

        return [dict(row) for row in read_json_lines(self.path / PAIRS_FILE)]

    @property
    def table(self) -> Table:
        """Every measure with its 95 % interval and its meaning."""
        return results_table({self.path.name: self})

    @property
    def pictures(self) -> Grid | None:
        """The first pairs: what both models generate with and without the target; None if none were kept."""
        from spf_lab.evaluation.pictures import ROLES, first_pairs, read_pictures

        pairs = self.pairs
        numbers = first_pairs(self.results["n_prompts"], self.results["n_seeds"])
        found = {number: read_pictures(self.path, number).roles for number in numbers}
        whole = {number: roles for number, roles in found.items() if len(roles) == len(ROLES)}
        captions = [str(pairs[number]["base_text"]) for number in whole]
        rows = {role: [roles[role] for roles in whole.values()] for role in ROLES}
        return Grid(rows, captions, {"target": str(self.results["target"])}) if whole else None

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        pictures = self.pictures
        shown = "" if pictures is None else picture_html(pictures.picture, "the first pairs")
        return self.table._repr_html_() + shown


@dataclass(frozen=True)
class Scores:
    """The results of `spf.score` in the folder `path`: evaluations by file, and why others failed.

    `page` is the report. In a notebook it shows the files side by side.
    """

    path: Path
    evaluations: Mapping[str, Evaluation]
    failed: Mapping[str, str]
    page: Path

    @property
    def table(self) -> Table | None:
        """Every measure of every file; None where all failed."""
        return results_table(self.evaluations, list(self.failed)) if self.evaluations else None

    @property
    def _lines(self) -> list[str]:
        return [f"failed: {name}: {reason}" for name, reason in self.failed.items()]

    def __str__(self) -> str:
        return "\n".join([*([str(self.table)] if self.table else []), *self._lines])

    def _repr_html_(self) -> str:
        return (self.table._repr_html_() if self.table else "") + lines_html(self._lines)


def results_table(evaluations: "Mapping[str, Evaluation]", failed: Sequence[str] = ()) -> Table:
    """Evaluations side by side, values with their 95 % intervals; `failed` are names without values."""
    results = {name: each.results for name, each in evaluations.items()}
    first = next(iter(results.values()))
    size = f"{first['n_prompts']} prompts x {first['n_seeds']} seeds"
    title = f"{first['suite_label']}, {first['target']}: {size}, 95 % intervals"
    title += f"; SPI of {first['purity']['label']}" if "purity" in first else ""
    shown: dict[str, Results] = {**results, **{name: {} for name in failed}}
    rows = result_rows(shown)
    if failed:
        ends = ("failed" if name in failed else "scored" for name in shown)
        rows.insert(0, ("outcome", *ends, "whether the file could be scored"))
    return Table(title, ("measure", *shown, "meaning"), tuple(rows))


def evaluate(
    run: str | Path | Run,
    out: str | Path,
    *,
    prompts: Prompts = 50,
    seeds: int = 2,
    suite: str | None = None,
    target: str | None = None,
    split: str = "test",
    scores: Sequence[str] = (),
    settings: Settings = (),
    keep: int = 8,
    strengths: Sequence[float] = (),
    progress: Shown = True,
) -> Evaluation:
    """Measure effect and pollution on unseen prompts, as `spf evaluate` does.

    Args:
        run: A finished run, or its folder.
        out: A new folder for the results.
        prompts: Number of prompts that training never saw, or a file of prompts, or the prompts themselves.
        seeds: Number of noise seeds for each prompt.
        suite: The suite that judges; by default that of the training data, else `photos`.
        target: Target that the judges look for; by default that of the training data.
        split: `test` for published numbers, `dev` to choose settings.
        scores: Names of scores or metrics to report besides SPS, or `all`.
        settings: Options of scores, metrics and suites, as in `{"clip-i.path": "models/clip"}`.
        keep: Number of first prompts whose images are kept.
        strengths: Adapter strengths to evaluate too, for the strength frontier.
        progress: As of `spf.train`.

    Under `torchrun` the processes share the sampling, and the main one writes the results.

    Raises:
        spf_core.errors.SpfError: Of one line, which names the value, the place and the way out.
    """
    from spf_lab.evaluation.drawing import EvaluationPlan, draw
    from spf_lab.evaluation.run import evaluate as measure
    from spf_lab.evaluation.score_options import choose_scores, metric_options, suite_options

    refuse_outside(1, MANY, seeds=seeds)
    refuse_outside(0, MANY, keep=keep)
    if split not in SPLITS:
        raise ConfigError(f"split={quoted(split)}: choose {' or '.join(SPLITS)}")
    folder, (count, texts) = Path(out), prompts_of(prompts)
    refuse_filled(folder, "choose another --out")
    opened, options = open_run(run), assignments_of(settings)
    plan = EvaluationPlan(
        suite=suite,
        suite_options=suite_options(opened.plugins, options),
        target=target,
        prompts=count,
        texts=texts,
        seeds=seeds,
        split=split,
        strengths=tuple(strengths),
    )
    kept: dict[str, Any] = {
        "scores": choose_scores(opened.plugins, scores, options),
        "metric_options": metric_options(opened.plugins, scores, options),
        "out": folder,
        "keep": keep,
    }
    with init_distributed(opened.device, "run the command again") as group:
        if group.main:
            with showing(progress) as heard:
                measure(opened.model, opened.plugins, plan, **kept, progress=heard, group=group)
        else:
            draw(opened.model, opened.plugins, plan, group=group)
    return Evaluation(folder)


def score(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    target: str | None = None,
    backbone: str | None = None,
    strength: float = 1.0,
    prompts: Prompts = 50,
    seeds: int = 2,
    suite: str | None = None,
    data: str | Path | None = None,
    trigger: str | None = None,
    handover: float | None = None,
    scores: Sequence[str] = (),
    settings: Settings = (),
    keep: int = 8,
    plugin: Sequence[str | Path] = (),
    device: str = "auto",
    progress: Shown = True,
) -> Scores:
    """Measure what LoRA files of any trainer change besides their target, as `spf score` does.

    Args:
        files: LoRA files, checkpoints, folders in diffusers' layout, or runs.
        out: Folder for the results; what it holds of the same settings is kept.
        target: The words that ask for the target in a prompt; by default as the files say.
        backbone: The base model of the files; by default that of the runs.
        strength: Strength of every file.
        prompts: As of `spf.evaluate`, as are the next two.
        seeds: Number of noise seeds for each prompt.
        suite: The suite that judges; by default `portraits` for `mini`, else `photos`.
        data: Folder with training images of the target, which help to judge it.
        trigger: Words of the target in the captions of `data`.
        handover: Fraction of the noise schedule where a file takes over; by default as the file says, else 1.
        scores: Names of scores or metrics to report besides SPS, or `all`.
        settings: Options of scores, metrics and suites, of the base model and of the sampling, as in
            `{"backbone.path": "models/sd15", "sample.steps": 30}`.
        keep: Number of first prompts whose images are kept.
        plugin: Plugin files to load.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: As of `spf.train`.

    Raises:
        spf_core.errors.SpfError: Nothing can be scored at all. A single file that fails is in `failed`.
    """
    from spf_lab.scoring.opening import Base, backbone_of, base_config
    from spf_lab.scoring.run import score_files
    from spf_lab.scoring.sources import examine_all, target_of

    refuse_outside(1, MANY, seeds=seeds)
    refuse_outside(0, MANY, keep=keep)
    refuse_strength(strength)
    count, texts = prompts_of(prompts)
    given = [files] if isinstance(files, str | Path) else list(files)
    plugins, sources, folder = load_plugins(plugin), examine_all(list(map(Path, given))), Path(out)
    _refuse_only_faults(sources)
    of_base = backbone_of(sources, backbone, plugins)
    options = assignments_of(settings)
    own = [each for each in options if each.split(".")[0].split("=")[0] in OF_BASE]
    place = None if data is None else str(data)
    config = base_config(plugins, of_base, data=place, trigger=trigger, assignments=own)
    judged = target_of(sources, plugins, suite=suite, target=target, backbone=of_base["name"])
    plan: dict[str, Any] = {
        "target": judged.target,
        "target_text": judged.text,
        "suite": suite,
        "seeds": seeds,
    }
    plan |= {"prompts": count, "texts": texts}
    others = [each for each in options if each not in own]
    at = {"strength": strength, "handover": handover, "keep": keep}
    request = _request(plugins, plan, others, scores, **at)
    with showing(progress) as heard:
        record = score_files(
            sources, Base(config, plugins, device), request, folder, lambda file: prefixed(heard, file)
        )
    failed = {name: each.failed for name, each in record.files.items() if each.failed}
    return _scored(folder, record.finished, failed)


def _scored(folder: Path, finished: Sequence[str], failed: Mapping[str, str]) -> Scores:
    """What was scored, with its page."""
    from spf_core.utils.atomic import atomic_write_text
    from spf_lab.report.write import PAGE, score_report

    if finished:
        atomic_write_text(folder / PAGE, score_report(folder))
    return Scores(folder, {name: Evaluation(folder / name) for name in finished}, failed, folder / PAGE)


def _refuse_only_faults(sources: "Sequence[Source]") -> None:
    """Raise the first fault where no file can be read at all."""
    faults = [source.fault for source in sources if source.fault is not None]
    if len(faults) == len(sources):
        raise faults[0]


def _request(
    plugins: "Plugins", plan: dict[str, Any], options: Sequence[str], names: Sequence[str], **given: Any
) -> "Request":
    from spf_lab.evaluation.drawing import EvaluationPlan
    from spf_lab.evaluation.score_options import choose_scores, metric_options, suite_options
    from spf_lab.scoring.run import Request

    return Request(
        EvaluationPlan(**plan, suite_options=suite_options(plugins, options)),
        choose_scores(plugins, names, options),
        metric_options(plugins, names, options),
        **given,
    )


def prompts_of(given: Prompts) -> tuple[int, tuple[str, ...]]:
    """The number of prompts, and their texts where they are named themselves or by a file.

    ConfigError for a number out of range, and for a file that is missing, or holds no prompts.
    """
    from spf_core.data.prompt_files import read_prompts

    if isinstance(given, Sequence) and not isinstance(given, str):
        texts = tuple(dict.fromkeys(checked_text(text) for text in given))
        if not texts:
            raise ConfigError("prompts: the list is empty; give a number, a file, or at least one text")
        return len(texts), texts
    text = str(given)
    if text.strip().lstrip("+-").isdigit():
        if not 1 <= int(text) <= MANY:
            raise ConfigError(f"--prompts {short(text)}: give a number from 1 to {MANY}, or a file")
        return int(text), ()
    if not Path(text).exists():
        raise ConfigError(f"--prompts {short(text)}: give a number of prompts, or a file that exists")
    texts = read_prompts(Path(text))
    return len(texts), texts


def assignments_of(settings: Settings) -> list[str]:
    """`{"clip-i.path": "x"}` as the assignments that the command line takes: JSON is YAML."""
    if isinstance(settings, Mapping):
        return [f"{name}={json.dumps(value, default=str)}" for name, value in settings.items()]
    return list(settings)
