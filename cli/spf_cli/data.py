"""`spf data`: check a training folder, prepare captions, or generate a folder with a suite."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from spf_cli import prepare
from spf_cli.options import (
    LAST_SEED,
    MANY,
    OUTPUT,
    Assignments,
    Backbone,
    PluginFiles,
    Trigger,
    at_home,
    backbone_options,
    chosen_reader,
    dataset_options,
    is_of,
    show_help,
    text_at_home,
)
from spf_core.errors import ConfigError, DataError, printable, short

if TYPE_CHECKING:
    from spf_core.data import FolderReport
    from spf_core.interfaces import Backbone as Model
    from spf_core.plugins.configs import DataReaderConfig
    from spf_core.plugins.discovery import Entry, Plugins

SHOWN_TEXTS = 10


class SuiteGroup(typer.core.TyperGroup):
    """The group `spf data`: its own commands and one for each installed suite."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands first, then the suites."""
        return [*super().list_commands(ctx), *_worlds(_plugins(ctx))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The own command, or one made for the suite of that name."""
        return super().get_command(ctx, cmd_name) or _suite_command(cmd_name, _plugins(ctx))


app = typer.Typer(cls=SuiteGroup, help="Check, prepare and generate training folders.")
app.callback(invoke_without_command=True)(show_help)


@app.command("check")
def check(
    ctx: typer.Context,
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR|ID",
            help="A training folder, or the id of a Hugging Face dataset.",
            callback=text_at_home,
        ),
    ],
    trigger: Trigger = None,
    assignments: Assignments = None,
    backbone: Backbone = None,
    plugin: PluginFiles = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print rows, problems and warnings as one JSON object.")
    ] = False,
) -> None:
    """Check a training folder: counts, sizes, texts, and each problem on its own line.

    --set accepts settings of `dataset`, `reader` and `backbone`. With --backbone or
    [cyan]--set backbone.path=DIR[/], the command also reports texts and images that do not fit the model.
    Exit code 2 if there are problems.
    """
    from spf_cli.render import note, show, table
    from spf_core.data import check_folder

    of_model = [each for each in assignments or () if is_of("backbone", each)]
    of_reader = [each for each in assignments or () if is_of("reader", each)]
    others = [each for each in assignments or () if each not in (*of_model, *of_reader)]
    section = dataset_options(trigger, others, "settings of dataset and backbone, and reader")
    model = backbone_options(backbone, of_model) if backbone is not None or of_model else None
    plugins = _plugins(ctx, plugin or ())
    report = check_folder(folder, section, _reader(folder, plugins, plugin or (), of_reader))
    unfit = _unfit(report, Path(folder), model, plugins) if model else []
    warnings = [*report.warnings, *unfit]
    if as_json:
        typer.echo(json.dumps(_json(report, Path(folder), warnings)))
    else:
        show(table(folder, ("", ""), _summary(report)))
        for warning in warnings:
            note("warning", "yellow", warning)
        for problem in report.problems:
            note("problem", "red", problem)
    if report.problems:
        raise typer.Exit(2)


app.command("prepare")(prepare.prepare)


def _reader(
    data: str, plugins: "Plugins", files: Sequence[Path], assignments: Sequence[str]
) -> "DataReaderConfig | None":
    """The reader that `--set` or `--plugin` chooses, or else the first that recognises the data."""
    from spf_core.plugins.readers import reader_for, readers_of

    if chosen := chosen_reader(plugins, files, assignments):
        return chosen
    try:
        return reader_for(data, readers_of(plugins))
    except DataError:  # the check says it
        return None


def _summary(report: "FolderReport") -> list[tuple[str, str]]:
    sizes = ", ".join(f"{width}x{height} ({count})" for (width, height), count in report.sizes.most_common(5))
    base, target = report.base_texts, report.target_texts
    repeated = sum(row.repeats for row in report.rows)
    texts = [(f"{count} x", text) for text, count in target.most_common(SHOWN_TEXTS)]
    return [
        ("usable rows", str(len(report.rows))),
        *([("with repeats", str(repeated))] if repeated > len(report.rows) else []),
        ("problems", str(len(report.problems))),
        ("sizes", sizes or "none"),
        ("base texts", f"{len(base)} different"),
        *([("the first", printable(report.rows[0].base_text))] if report.rows else []),
        ("target texts", f"{len(target)} different"),
        *texts,
    ]


def _json(report: "FolderReport", folder: Path, warnings: Sequence[str]) -> dict[str, Any]:
    """The report; files of the folder are named relative to it."""

    def name(file: Path | None) -> str | None:
        if file is None:
            return None
        return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()

    rows = [
        {
            "file": name(row.image),
            "base_text": row.base_text,
            "target_text": row.target_text,
            "repeats": row.repeats,
            "mask": name(row.mask),
        }
        for row in report.rows
    ]
    return {"rows": rows, "problems": report.problems, "warnings": list(warnings)}


def _unfit(report: "FolderReport", folder: Path, options: dict[str, Any], plugins: "Plugins") -> list[str]:
    """Warnings about texts and images that do not fit the backbone of this name and these options."""
    from spf_core.config.loading import parse_component
    from spf_core.plugins.building import built

    config = parse_component(plugins, "backbone", options, "backbone")
    model = built(config)
    return [*_too_long(report, config.name, model), *_too_small(report, folder, config.name, model)]


def _too_small(report: "FolderReport", folder: Path, backbone: str, model: "Model") -> list[str]:
    """One warning when images would be enlarged more than twice."""
    from spf_core.data.files import first_names

    side = model.image_size
    shown = zip(report.rows, report.row_sizes, strict=True)
    small = {row.image for row, size in shown if 2 * min(size) < side}
    if not small:
        return []
    return [
        f"images far smaller than the {side} pixels of '{backbone}' would be blurred "
        f"({len(small)}): {first_names(small, folder)}"
    ]


def _too_long(report: "FolderReport", backbone: str, model: "Model") -> list[str]:
    """One warning when complete texts exceed what the backbone's text encoder reads."""
    long = [row for row in report.rows if model.token_count(row.prompt.complete_text) > model.max_tokens]
    if not long:
        return []
    reads = f"'{backbone}' reads {model.max_tokens} tokens and cuts off the rest"
    first = long[0].prompt.complete_text
    return [f"{len(long)} of {len(report.rows)} texts are too long: {reads}; first: '{first}'"]


def _plugins(ctx: Any, files: Sequence[Path] = ()) -> "Plugins":
    """The installed plugins and those in `files`, loaded once for an invocation."""
    from spf.loading import load_plugins

    if ctx.obj is None:
        ctx.obj = load_plugins(files)
    plugins: Plugins = ctx.obj
    return plugins


def _worlds(plugins: "Plugins") -> "dict[str, Entry]":
    """The suites that can write training folders."""
    suites = plugins.of_kind("suite")
    return {name: entry for name, entry in suites.items() if getattr(entry.config, "writes_data", True)}


def _suite_command(name: str, plugins: "Plugins") -> Any:
    entry = _worlds(plugins).get(name)
    if entry is None:
        return None
    maker = typer.Typer(rich_markup_mode="rich", add_completion=False)
    maker.command(name, help=f"Generate a training folder: {escape(entry.summary)}")(
        at_home(_writer(name, plugins))
    )
    return typer.main.get_command(maker)


def _writer(suite: str, plugins: "Plugins") -> Callable[..., None]:
    from spf_cli.render import say

    def write(
        target: Annotated[str, typer.Option(help="The target to train.")],
        out: Annotated[
            Path, typer.Option(metavar="DIR", help="New folder to write.", rich_help_panel=OUTPUT)
        ],
        count: Annotated[int, typer.Option(min=1, max=MANY, help="Number of images.")] = 60,
        bias: Annotated[
            str,
            typer.Option(
                metavar="ATTR=VALUE,...", help="Attributes that all images share and no text mentions."
            ),
        ] = "",
        seed: Annotated[
            int, typer.Option(min=0, max=LAST_SEED, help="Seed. The same seed gives the same folder.")
        ] = 0,
        size: Annotated[int, typer.Option(min=16, max=4096, help="Side of an image in pixels.")] = 64,
        assignments: Assignments = None,
    ) -> None:
        from spf.loading import refuse_filled
        from spf_core.config.loading import parse_component
        from spf_core.config.merging import options_by_name
        from spf_core.plugins.answers import refuse_unknown_facts
        from spf_core.plugins.building import built
        from spf_core.utils.atomic import emptied_on_failure

        refuse_filled(out, "choose another --out")
        settings = parse_bias(bias)
        options = options_by_name(assignments or ())
        if others := sorted(options.keys() - {suite}):
            raise ConfigError(f"--set {short(others[0])}: expected {suite}.OPTION=VALUE")
        world = built(parse_component(plugins, "suite", {"name": suite, **options.get(suite, {})}, suite))
        refuse_unknown_facts(world, target, settings)
        with emptied_on_failure(out):
            world.write_training_set(out, target=target, count=count, bias=settings, seed=seed, size=size)
        say(f"wrote {count} images of '{target}' to {out}")

    return write


def parse_bias(text: str) -> dict[str, str]:
    """`"background=teal,clothes=blazer"` as a mapping; ConfigError when a part is not ATTR=VALUE."""
    pairs: Sequence[list[str]] = [part.split("=") for part in text.split(",") if part.strip()]
    for pair in pairs:
        if len(pair) != 2 or not all(side.strip() for side in pair):
            part = short("=".join(pair))
            raise ConfigError(
                f"--bias {short(text)}: '{part}' is no pair; write ATTR=VALUE, as in background=teal"
            )
    return {attribute.strip(): value.strip() for attribute, value in pairs}
