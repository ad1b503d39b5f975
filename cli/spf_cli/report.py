"""The demo's report: one Markdown page with the pictures and the numbers."""

from collections.abc import Mapping
from pathlib import Path

from spf_cli.results import Results, markdown_table

_PAGE = """\
# Learning '{target}' and nothing else

{label}: {rows}

![the same people: original, naive, spf]({pairs})

Each column is one unseen prompt and one seed. **original** is the base model without the target,
**naive** and **spf** are asked for the target. Whatever else differs from
the original is pollution. Preset `spf` also lets the original model open every picture
(`sample.handover`); the published benchmark shows what that alone does for the others.

## Numbers

{size}; 95 % confidence intervals in brackets. These are numbers of the embedded portraits; they say
nothing about other models. The loss terms of preset `spf` are reconstructions from the paper.

{table}

## Pictures of the evaluation

{figures}

## Go on

    spf sample {out}/runs/spf --prompt "a portrait of an old man" --target "{phrase}" --compare --out grid.png
    spf evaluate {out}/runs/spf --prompts 50 --seeds 2 --out results
    spf plugins list
"""
_ROWS = (
    "the training pictures of '{target}' all share {bias}, which no caption mentions. "
    "A model that learns the attribute alone leaves these as they were."
)


def write_report(out: Path, target: str, bias: Mapping[str, str], results: Mapping[str, Results]) -> Path:
    """Write `report.md` into the demo folder and return its path."""
    from spf_core.atomic import atomic_write_text
    from spf_core.data import read_folder

    shared = ", ".join(f"{attribute} {value}" for attribute, value in bias.items())
    first = next(iter(results.values()))
    page = _PAGE.format(
        target=target,
        label="Embedded portraits",
        rows=_ROWS.format(target=target, bias=shared),
        pairs="pairs.png",
        size=f"{first['n_prompts']} unseen prompts, {first['n_seeds']} seed(s) each",
        table=markdown_table(results),
        figures=_figures(out, results) or "none",
        out=out,
        phrase=read_folder(out / "data")[0].target_text,
    )
    atomic_write_text(out / "report.md", page)
    return out / "report.md"


def _figures(out: Path, results: Mapping[str, Results]) -> str:
    found = [(run, file) for run in results for file in sorted((out / "evaluation" / run).glob("*.png"))]
    return "\n\n".join(f"![{run}: {file.stem}]({file.relative_to(out).as_posix()})" for run, file in found)
