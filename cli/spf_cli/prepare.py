"""`spf data prepare`: split captions into base and target texts, and write them after confirmation."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from spf_cli.options import (
    Assignments,
    PluginFiles,
    chosen_reader,
    dataset_options,
    is_of,
    readable,
)
from spf_core.errors import ConfigError, DataError, printable

if TYPE_CHECKING:
    from spf_core.data import Caption
    from spf_core.data.captions import Texts
    from spf_core.data.prepare import Plan

    Splitting = Callable[[Caption], Texts]

SHOWN = 20
ASKED = "target: numbers, or words of the caption; press Enter to leave it out"


def prepare(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images with captions.")],
    trigger: Annotated[
        list[str] | None,
        typer.Option(
            callback=readable,
            metavar="WORDS",
            help="Words of the target in a caption. Repeatable: the first that the caption contains counts.",
        ),
    ] = None,
    phrase: Annotated[
        str | None,
        typer.Option(
            callback=readable, metavar="REGEX", help="Noun phrases that match this expression are the target."
        ),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive", "-i", help="Ask for each caption that --trigger or --phrase cannot split."
        ),
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            callback=readable,
            metavar="TEXT",
            help="Target text of all rows, in place of the words that are split off.",
        ),
    ] = None,
    assignments: Assignments = None,
    plugin: PluginFiles = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show every caption.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without confirmation.")] = False,
) -> None:
    """Split captions into base and target texts, and write metadata.jsonl.

    Captions are .txt or .caption files beside the images, the column text of a metadata.jsonl or
    metadata.csv, or what a data reader finds. --set accepts settings of `dataset` and `reader`. The command
    first shows the rows that it will write. It never changes images or caption files.
    """
    from spf.loading import load_plugins
    from spf_cli.render import say
    from spf_core.data.prepare import find_captions, make_plan, write_plan

    rule = _rule(trigger, phrase, interactive, target)
    of_reader = [each for each in assignments or () if is_of("reader", each)]
    others = [each for each in assignments or () if each not in of_reader]
    section = dataset_options(None, others, "settings of dataset and reader")
    reader = chosen_reader(load_plugins(plugin or ()), plugin or (), of_reader)
    captions, faults = find_captions(folder, section, reader)
    plan = make_plan(captions, faults, rule)
    limit = None if show_all else SHOWN
    if plan.splits:
        _show(folder, plan, limit)
    warnings = [f"{each.caption.file_name}: {line}" for each in plan.splits for line in each.warnings]
    _say("warning", warnings, limit)
    _say("left out", [f"{place}: {reason}" for place, reason in plan.left], limit)
    if not plan.splits:
        raise DataError(f"no caption in '{folder}' can be split in this way; nothing is written")
    left = f", without the {len(plan.left)} left out" if plan.left else ""
    if yes or _agreed(f"write {len(plan.splits)} rows to {folder / 'metadata.jsonl'}{left}?"):
        say(f"wrote {len(plan.splits)} rows to {write_plan(folder, plan)}")
    else:
        say("nothing is written")


def _rule(
    trigger: list[str] | None, phrase: str | None, interactive: bool, target: str | None
) -> "Splitting":
    from spf_core.data.prepare import phrase_rule, trigger_rule

    if bool(trigger) + bool(phrase) + interactive == 0:
        raise ConfigError(
            'no rule to split captions; give --trigger "wearing a hat", --phrase hat, or --interactive'
        )
    if trigger and phrase:
        raise ConfigError("--trigger and --phrase are both given; choose one")
    rule = trigger_rule(trigger) if trigger else phrase_rule(phrase) if phrase else None

    def split(caption: "Caption") -> "Texts":
        try:
            texts = rule(caption) if rule else _ask(caption)
        except DataError:
            if rule is None or not interactive:
                raise
            texts = _ask(caption)
        return texts._replace(target=target) if target else texts

    return split


def _ask(caption: "Caption") -> "Texts":
    """The user's choice: numbers of clauses, or words of the caption; DataError when it is left out."""
    from spf_cli.render import say
    from spf_core.data.captions import clauses, split_by_trigger, without

    parts = clauses(caption.text)
    say()
    say(f"{caption.file_name}: {caption.text}")
    for number, part in enumerate(parts, start=1):
        say(f"  {number}  {part}")
    while answer := typer.prompt(ASKED, default="", show_default=False).strip():
        numbers = answer.replace(",", " ").split()
        try:
            if not all(number.isdigit() for number in numbers):
                return split_by_trigger(caption.text, answer)
            chosen = [parts[int(number) - 1] for number in numbers if 1 <= int(number) <= len(parts)]
            if len(chosen) == len(numbers):
                return without(caption.text, chosen)
            say(f"  the numbers are 1 to {len(parts)}")
        except DataError as error:
            say(f"  {error}")
    raise DataError("left out by choice")


def _show(folder: Path, plan: "Plan", limit: int | None) -> None:
    """Captions before and after; where not all are shown, those to look at come first."""
    from spf_cli.render import say, show, table

    shown = plan.splits if limit is None else sorted(plan.splits, key=lambda each: not each.warnings)[:limit]
    rows = []
    for each in shown:
        base = Text(printable(each.texts.base), style="yellow" if each.warnings else "")
        rows.append((each.caption.file_name, each.caption.text, base, each.texts.target))
    show(table(str(folder), ("image", "caption", "base text", "target text"), rows))
    if len(shown) < len(plan.splits):
        say(f"... and {len(plan.splits) - len(shown)} more; --all shows them")
    for text, count in Counter(each.texts.target for each in plan.splits).most_common(SHOWN):
        say(f"{count} x {text}")


def _say(label: str, lines: Sequence[str], limit: int | None) -> None:
    from spf_cli.render import note

    for line in lines[:limit]:
        note(label, "yellow", line)
    if left := len(lines) - len(lines[:limit]):
        note(label, "yellow", f"{left} more; --all shows them")


def _agreed(question: str) -> bool:

    try:
        return typer.confirm(question)
    except typer.Abort:
        raise ConfigError("nothing is written; answer y, or add --yes") from None
