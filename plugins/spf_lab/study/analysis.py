"""`spf study analyse`: what the votes say, for each question, with and without excluded raters."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from spf_core import __version__
from spf_core.errors import RunError, unknown
from spf_core.utils.atomic import atomic_file, atomic_write_text
from spf_lab.study.agreement import agreement, pair_table
from spf_lab.study.bradley_terry import RESAMPLES, RIDGE, TIE, fit
from spf_lab.study.design import QUESTIONS, Question
from spf_lab.study.figure import draw_strengths
from spf_lab.study.records import SIMULATED, Key, read_key
from spf_lab.study.report import FIGURE_FILE, REPORT_FILE, page
from spf_lab.study.votes import Rater, Votes, comparisons, read_votes

SCHEMA = 1
RESULTS_FILE, ROWS_FILE = "results.json", "votes.jsonl"


def analyse_study(
    study: Path, places: Sequence[Path], out: Path, *, against: str | None = None
) -> dict[str, Any]:
    """Analyse files, or folders of them, and write results.json, report.md, strengths.png and votes.jsonl.

    `against` is the method that the others are measured against, by default lora or else the first. Returns
    what results.json holds. Raises RunError for votes that cannot be used, ConfigError for an unknown method.
    """
    key = read_key(study)
    reference = against or ("lora" if "lora" in key.methods else key.methods[0])
    if reference not in key.methods:
        raise unknown("method", reference, key.methods)
    if out.exists() and not out.is_dir():
        raise RunError(f"'{out}' is a file; choose a folder with --out")
    votes = read_votes(places, key)
    results = analyse(votes, key, reference)
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(out / ROWS_FILE, "".join(json.dumps(row) + "\n" for row in _rows(votes, key)))
    with atomic_file(out / FIGURE_FILE) as temporary:
        draw_strengths(results, temporary)
    atomic_write_text(out / REPORT_FILE, page(results))
    text = json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False)
    atomic_write_text(out / RESULTS_FILE, text + "\n")
    return results


def analyse(votes: Votes, key: Key, against: str) -> dict[str, Any]:
    """The content of results.json."""
    excluded = {
        rater.name: reason for rater in votes.raters if (reason := rater.exclusion(key.exclusion)) is not None
    }
    kept = [rater for rater in votes.raters if rater.name not in excluded]
    everyone = {question: _question(votes.raters, key, question, against) for question in QUESTIONS}
    return {
        "schema": SCHEMA,
        "label": SIMULATED if votes.simulated else None,
        "simulated": votes.simulated,
        "study": key.study,
        "suite_label": key.suite_label,
        "methods": list(key.methods),
        "against": against,
        "targets": list(dict.fromkeys(scene.target_text for scene in key.scenes)),
        "raters": {
            "files": votes.files,
            "superseded_files": votes.superseded,
            "withdrawn": votes.withdrawn,
            "analysed": len(votes.raters),
            "complete": sum(rater.complete for rater in votes.raters),
            "excluded": excluded,
            "median_seconds": median(vote.ms for rater in votes.raters for _, vote in rater.answers) / 1000,
        },
        "exclusion": key.exclusion.model_dump(),
        "fit": {"ridge": RIDGE, "resamples": RESAMPLES, "spf": __version__},
        "questions": everyone
        if not excluded
        else {question: _question(kept, key, question, against) for question in QUESTIONS},
        "questions_with_excluded": everyone,
    }


def _question(raters: Sequence[Rater], key: Key, question: Question, against: str) -> dict[str, Any] | None:
    """Everything about one question; None when nobody answered it."""
    data = comparisons(raters, key, question)
    if not len(data.answer_N):
        return None
    found = fit(data, against)
    alpha, units = agreement(data)
    return {
        "answers": len(data.answer_N),
        "ties": int((data.answer_N == TIE).sum()),
        "strengths": {name: value.to_json() for name, value in found.strengths.items()},
        "beats": {name: value.to_json() for name, value in found.beats.items()},
        "left": found.left.to_json(),
        "tie_parameter": found.tie.to_json(),
        "pairs": pair_table(data),
        "alpha": alpha,
        "pictures_seen_by_several": units,
    }


def _rows(votes: Votes, key: Key) -> list[dict[str, Any]]:
    """Every answer with what it compared, so that all numbers can be computed again."""
    return [
        {
            "label": SIMULATED if votes.simulated else None,
            "rater": rater.name,
            **trial.model_dump(exclude={"scene"}),
            **key.scenes[trial.scene].model_dump(),
            **vote.model_dump(),
        }
        for rater in votes.raters
        for trial, vote in rater.answers
    ]
