"""`spf study`: an offline page where people compare methods, and the analysis of their votes."""

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from spf_cli.options import LAST_SEED, MANY, OUTPUT, show_help
from spf_core.errors import ConfigError, DataError
from spf_core.utils.prompts import text_fault
from spf_core.utils.special_files import refuse_special

RULE = "Exclusion rule, fixed in advance"
app = typer.Typer(help="Build a user study as an offline page, and analyse its votes.")
app.callback(invoke_without_command=True)(show_help)

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A folder of [bold]spf study build[/].")]
Consent = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with your own text for the first screen.",
        show_default="a general text",
    ),
]


@app.command("build")
def build(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]DIR", help="A benchmark folder, or evaluations of several methods."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the page and the key.", rich_help_panel=OUTPUT)
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compare only these methods. Repeatable.", show_default="all"),
    ] = None,
    raters: Annotated[
        int, typer.Option(min=1, max=MANY, help="Number of forms to prepare. Each has its own questions.")
    ] = 20,
    trials: Annotated[
        int, typer.Option(min=1, max=MANY, help="Number of scored questions in each form.")
    ] = 60,
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Seed. The same seed gives the same study.")
    ] = 0,
    consent: Consent = None,
    max_wrong: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of wrong catch trials.", rich_help_panel=RULE)
    ] = 0.25,
    min_consistency: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Smallest share of repeats without contradiction.", rich_help_panel=RULE
        ),
    ] = 0.6,
) -> None:
    """Build the page for the raters, from images that evaluations kept.

    Sources are a benchmark folder, or folders of [bold]spf evaluate --keep[/]. Give the raters the folder
    [bold]page[/]. Keep [bold]key.json[/] to yourself: it says which method made each image.
    """
    from spf.loading import refuse_filled
    from spf_cli.render import say
    from spf_lab.study.build import CONSENT, build_study
    from spf_lab.study.records import KEY_FILE, PAGE_FOLDER, ExclusionRule

    refuse_filled(out, "choose another --out")
    key = build_study(
        sources,
        out,
        methods=method or (),
        forms=raters,
        trials=trials,
        seed=seed,
        exclusion=ExclusionRule(max_wrong=max_wrong, min_consistency=min_consistency),
        consent=_text(consent) if consent else CONSENT,
    )
    say(f"{raters} forms of {len(key.forms[0])} questions on {len(key.scenes)} scenes")
    say(f"compared: {', '.join(key.methods)}")
    say(f"give raters the folder {out / PAGE_FOLDER}; keep {out / KEY_FILE} to yourself")


@app.command("analyse")
def analyse(
    study: StudyFolder,
    votes: Annotated[
        list[Path], typer.Argument(metavar="VOTES", help="Files that the raters saved, or folders of these.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the report.", show_default="STUDY/results", rich_help_panel=OUTPUT
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Method to compare the others with.", show_default="lora, or the first"
        ),
    ] = None,
) -> None:
    """Analyse votes: strengths of the methods, side bias and agreement, with confidence intervals."""
    from spf_cli.render import console, note, show
    from spf_lab.study.analysis import analyse_study
    from spf_lab.study.report import REPORT_FILE, TITLES

    place = out or study / "results"
    with console(stderr=True).status("fitting"):
        results = analyse_study(study, votes, place, against=against)
    for question, title in TITLES.items():
        show(*_question(title, results["questions"][question], results))
    for rater, reason in results["raters"]["excluded"].items():
        note("excluded", "yellow", f"{rater}: {reason}; the report shows the numbers with and without")
    if results["simulated"]:
        note("simulated", "red", results["label"])
    show(f"report: {place / REPORT_FILE}")


@app.command("simulate")
def simulate(
    study: StudyFolder,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the votes.", rich_help_panel=OUTPUT)
    ],
    strength: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="Log-strength of a method. By default, 0. Repeatable."),
    ] = None,
    raters: Annotated[int, typer.Option(min=1, max=MANY, help="Number of simulated raters.")] = 20,
    careless: Annotated[int, typer.Option(min=0, max=MANY, help="How many of them answer at random.")] = 0,
    side_bias: Annotated[float, typer.Option(help="Value added to the log-odds of the left side.")] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Seed. The same seed gives the same votes.")
    ] = 0,
) -> None:
    """Write simulated votes, to test an analysis and a sample size.

    These votes come from no person, and are no result.
    """
    from spf_cli.render import note, say
    from spf_lab.study.records import SIMULATED
    from spf_lab.study.simulate import Behaviour, simulate_raters

    behaviour = Behaviour(_strengths(strength or ()), side_bias=side_bias)
    simulate_raters(study, out, behaviour=behaviour, raters=raters, careless=careless, seed=seed)
    note("simulated", "red", SIMULATED)
    say(f"wrote votes of {raters} simulated raters to {out}")


def _question(title: str, found: Any, results: Any) -> list[Any]:

    from spf_cli.render import table
    from spf_lab.study.report import strength_head, strength_rows, summary

    heading = f"{results['label']}: {title}" if results["simulated"] else title
    if found is None:
        return [heading, "nobody answered this question", ""]
    rows = table("", strength_head(results["against"]), strength_rows(found))
    return [Text(heading, style="bold"), rows, summary(found), ""]


def _text(file: Path) -> str:

    try:
        refuse_special(file)
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"consent file '{file}' does not exist; give a text file") from None
    except UnicodeDecodeError:
        raise DataError(f"consent file '{file}' is not UTF-8 text; save it as UTF-8") from None
    if fault := text_fault(text):
        raise DataError(f"consent file '{file}' {fault}")
    return text


def _strengths(assignments: Iterable[str]) -> dict[str, float]:

    found = {}
    for assignment in assignments:
        name, _, number = assignment.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise ConfigError(f"--strength {assignment}: expected NAME=NUMBER, as in spf=1.5") from None
        if not isfinite(found[name]):
            raise ConfigError(f"--strength {assignment}: no finite number; give one, as in spf=1.5")
    return found
