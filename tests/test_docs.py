"""What the documentation says exists, and what exists is documented."""

import ast
import inspect
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from PIL import Image
from rich.text import Text

from spf_cli.app import build_app
from spf_core.config.loading import load_run_config, parse_component
from spf_core.config.merging import SLOTS, parse_assignment
from spf_core.config.run_config import RunConfig
from spf_core.plugins.configs import KINDS
from spf_core.plugins.discovery import load_plugins
from spf_core.plugins.hookspecs import HOOKS
from spf_core.utils.yaml_text import read_yaml
from spf_lab.benchmark.plan import build_suite
from spf_lab.benchmark.spec import read_benchmark
from spf_lab.continual.spec import read_continual

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if ".generated" not in page.parts),
]
REFERENCE = (ROOT / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
EXAMPLE_FILE = ROOT / "docs" / "examples" / "my_loss.py"


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(rf"^ *```{language}[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            yield str(page.relative_to(ROOT)), block


def benchmark_files() -> list[Any]:
    files = sorted((ROOT / "docs" / "results").glob("*.yaml"))
    return [pytest.param(file.read_text(encoding="utf-8"), id=file.name) for file in files]


LAUNCHED = re.compile(r"^(?:[A-Z_]+=\S+ |(?:torchrun|accelerate) .* -m |docker run .* )spf(?:_cli)? ")


def typed(block: str) -> Iterator[str]:
    """What a reader types: lines joined where a backslash ends them, and launchers taken off."""
    for line in re.findall(r"^ *\$ (.*)$", block.replace("\\\n", " "), re.MULTILINE):
        yield LAUNCHED.sub("spf ", line)


NOTEBOOK = ROOT / "docs" / "examples" / "rented-gpu.ipynb"


def cells(kind: str) -> list[str]:
    """The sources of the notebook's cells of one kind."""
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def console_lines(program: str) -> list[Any]:
    notebook = [(NOTEBOOK.name, re.sub(r"^!", "$ ", cell, flags=re.MULTILINE)) for cell in cells("code")]
    return [
        pytest.param(line, id=f"{page}: {line}")
        for page, block in [*blocks("console"), *notebook]
        for line in typed(block)
        if line.startswith(f"{program} ") and not line.startswith(f"{program} --")
    ]


@pytest.mark.parametrize("line", console_lines("spf"))
def test_a_command_in_the_docs_is_understood(line: str) -> None:
    arguments, command, context = (
        shlex.split(line, comments=True)[1:],
        typer.main.get_command(build_app()),
        None,
    )
    while hasattr(command, "get_command"):
        context = typer.Context(command, info_name=command.name, parent=context)
        command = command.get_command(context, arguments.pop(0))
    assert command.make_context(command.name, arguments, parent=context).params


# Components that a reader of the docs writes, which only then exist.
WRITTEN = {line.values[0].split()[4] for line in console_lines("spf") if "plugins new" in line.values[0]}


@pytest.mark.parametrize("line", [line for line in console_lines("spf") if "spf train" in line.values[0]])
def test_the_settings_of_a_training_in_the_docs_go_together(line: str) -> None:
    words = shlex.split(line, comments=True)[2:]
    command = typer.main.get_command(build_app()).get_command(None, "train")  # type: ignore[attr-defined]
    given = command.make_context("train", words).params
    chosen = [name for name in given["plugin"] or () if not name.endswith(".py") and name not in WRITTEN]
    assert load_run_config(
        load_plugins(),
        preset=given["preset"],
        backbone=given["backbone"],
        chosen=chosen,
        assignments=given["assignments"] or (),
    )


@pytest.mark.parametrize("line", console_lines("make"))
def test_a_make_target_in_the_docs_exists(line: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert shlex.split(line, comments=True)[1] in targets


def test_the_notebook_goes_from_the_photos_to_the_file_and_holds_no_output() -> None:
    spoken = [line.values[0].split()[1] for line in console_lines("spf") if line.id.startswith(NOTEBOOK.name)]
    assert spoken == ["doctor", "data", "train", "train", "sample", "export", "export"]
    assert "**Not run:**" in cells("markdown")[0]
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in found)


def test_extras_exist_where_they_are_named_and_the_guide_names_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    guide = (ROOT / "docs" / "guides" / "install.md").read_text(encoding="utf-8")
    table = guide.split("### Extras\n")[1].split("\n#")[0]
    assert set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == extras
    files = [*PAGES, NOTEBOOK, ROOT / "Containerfile", ROOT / "Makefile", *(ROOT / "spf_core").rglob("*.py")]
    named = {
        extra
        for file in files
        for group in re.findall(r"['/](?:\.|spf|\./spf)\[([a-z,]+)\]['\"]", file.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    assert {"gpu", "photos", "dev", "docs", "datasets"} <= named <= extras


def contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part or (isinstance(whole, dict) and whole.get("name") == part))


def yaml_blocks(*, benchmarks: bool) -> list[Any]:
    found = [(page, block) for page, block in blocks("yaml") if block.startswith("suite:") == benchmarks]
    return [pytest.param(block, id=page) for page, block in found]


@pytest.mark.parametrize("block", yaml_blocks(benchmarks=False))
def test_a_configuration_in_the_docs_resolves(block: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(block, encoding="utf-8")
    resolved = load_run_config(load_plugins(), file=file).model_dump(mode="json")
    assert contains(resolved, read_yaml(file))


@pytest.mark.parametrize("block", [*yaml_blocks(benchmarks=True), *benchmark_files()])
def test_a_benchmark_in_the_docs_names_what_there_is(block: str, tmp_path: Path) -> None:
    file = tmp_path / "benchmark.yaml"
    file.write_text(block, encoding="utf-8")
    spec = read_continual(file).as_benchmark() if "orders" in read_yaml(file) else read_benchmark(file)
    assert build_suite(spec, load_plugins()).label == "embedded portraits"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_kind_its_hook_and_its_built_in_components_are_in_the_reference(kind: str) -> None:
    assert f"| {kind} |" in REFERENCE
    assert f"\n| {kind} |" in REFERENCE
    (row,) = [
        line
        for line in REFERENCE.splitlines()
        if re.match(rf"\| {kind} \| `[a-z0-9-]+`(, `[a-z0-9-]+`)* \|$", line)
    ]
    assert sorted(re.findall(r"`([^`]+)`", row)) == sorted(load_plugins().of_kind(kind))


def test_every_score_is_described() -> None:
    page = (ROOT / "docs" / "reference" / "scores.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(described) == sorted(load_plugins().of_kind("score"))


def test_the_score_of_the_docs_loads_and_measures(tmp_path: Path) -> None:
    (block,) = [block for page, block in blocks("python") if page == "docs/reference/scores.md"]
    (tmp_path / "mine.py").write_text(block, encoding="utf-8")
    config = load_plugins([tmp_path / "mine.py"]).get("brightness", "score")()
    white = SimpleNamespace(c=[Image.new("RGB", (4, 4), "white")])
    assert config.build()(white, None, None)[""].values_N.tolist() == [255.0]


def test_every_hook_says_when_it_is_called() -> None:
    from spf_core.plugins import hookspecs

    for hook in HOOKS:
        assert re.search(r"Called |Return ", inspect.getdoc(getattr(hookspecs, hook)) or "")
        assert f"`{hook}" in REFERENCE


def test_the_single_file_plugin_of_the_docs_loads() -> None:
    entry = load_plugins([EXAMPLE_FILE]).entries["colour-alignment"]
    assert entry.version == "file"
    assert callable(entry.config().build())


def test_a_link_within_the_repository_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands(group: Any = None, name: str = "spf") -> Iterator[tuple[str, Any]]:
    """Every command by its words, as in `spf data check`."""
    group = group or typer.main.get_command(build_app())
    yield name, group
    if hasattr(group, "list_commands"):
        context = typer.Context(group, info_name=name)
        for word in group.list_commands(context):
            yield from commands(group.get_command(context, word), f"{name} {word}")


def helped(command: Any) -> str:
    """What the help of a command says, without its markup."""
    said = [command.help, *(getattr(param, "help", None) for param in command.params)]
    return "\n".join(Text.from_markup(text).plain for text in said if text)


COMMANDS = dict(commands())
TAUGHT = {
    **{
        str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
        for page in PAGES
        if "lab-log" not in page.parts and "examples" not in page.parts  # the past, and a plugin of its own
    },
    **{f"{words} --help": helped(command) for words, command in COMMANDS.items()},
    **{
        str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
        for folder in ("spf_core", "plugins", "cli")
        for file in (ROOT / folder).rglob("*.py")
    },
}


@pytest.mark.parametrize("place", [place for place, text in TAUGHT.items() if "--" in text])
def test_the_options_of_commands_in_texts_and_messages_exist(place: str) -> None:
    for mentioned in re.findall(r"\bspf [a-z]+[^`;\n\"]*", TAUGHT[place]):
        words = mentioned.split()
        known = next((name for end in (3, 2) if (name := " ".join(words[:end])) in COMMANDS), None)
        if known is None:
            continue
        options = {option for param in COMMANDS[known].params for option in param.opts} | {"--help"}
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", mentioned):
            assert option in options, mentioned


VALUE = re.compile(r"[A-Z]{2,}[\w./=|-]*|[A-Z]|[\d./~{\"'][^,;:)]*")


def texts_of(source: str) -> Iterator[str]:
    """The texts and docstrings of a Python file; 1 stands for what an f-string fills in."""
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def commands_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every command of spf in a text by its words, with the arguments that the text gives it.

    Arguments are options, their values, and placeholders such as RUN: prose may follow a command.
    """
    plain = re.sub(r"\[/?[a-z ]*\]", "", text)  # rich's markup
    for mentioned in re.findall(r"\bspf [a-z][^`;\n]*", plain):
        words = mentioned.split()
        if not (known := next((n for end in (3, 2) if (n := " ".join(words[:end])) in COMMANDS), None)):
            continue
        options = {option: param for param in COMMANDS[known].params for option in param.opts}
        given: list[str] = []
        for word in words[len(known.split()) :]:
            bare = word.rstrip(".,:)")
            last = options.get(given[-1]) if given else None
            is_value = last is not None and not last.is_flag
            if bare.startswith("--") or is_value or VALUE.fullmatch(bare):
                given.append(bare.strip("\"'"))
            if bare != word or given[-1:] != [bare.strip("\"'")]:
                break
        given = [word for word in given if word != "--help"]
        if given and (last := options.get(given[-1])) is not None and not last.is_flag:
            given.append("1")  # the text names an option without a value
        yield known, given


COMMANDS_IN_TEXTS = sorted(
    {
        (str(file.relative_to(ROOT)), known, tuple(given))
        for folder in ("spf_core", "plugins", "cli")
        for file in (ROOT / folder).rglob("*.py")
        for text in texts_of(file.read_text(encoding="utf-8"))
        for known, given in commands_in(text)
        if given
    }
)


def test_there_are_commands_in_help_texts_and_messages() -> None:
    assert ("spf train", ["--plugin", "sfcm-v2", "--set", "train.steps=5"]) in commands_in(
        "Run [bold]spf train --plugin sfcm-v2 --set train.steps=5[/], then look."
    )
    assert len(COMMANDS_IN_TEXTS) > 10


@pytest.mark.parametrize(("place", "known", "given"), COMMANDS_IN_TEXTS)
def test_a_command_in_a_help_text_or_message_is_understood(
    place: str, known: str, given: tuple[str, ...]
) -> None:
    fault = None
    try:
        COMMANDS[known].make_context(known, list(given))
    except typer.TyperException as error:
        fault = error
    # A text may name an option without all else that the command needs.
    assert fault is None or type(fault).__name__ == "MissingParameter", f"{place}: {fault}"


@pytest.mark.parametrize("place", [place for place, text in TAUGHT.items() if "spf " in text])
def test_what_a_text_marks_as_a_command_is_one(place: str) -> None:
    marked = re.findall(r"(?:`|\[bold\]|\[bold cyan\])spf ([a-z][a-z-]*)(?=[ `\[])", TAUGHT[place])
    assert {f"spf {word}" for word in marked} <= set(COMMANDS)


def assignments() -> list[Any]:
    """What texts and messages set with --set, without placeholders such as FOLDER."""
    found = {
        (place, assignment)
        for place, text in TAUGHT.items()
        for assignment in re.findall(r"(?:--set |as in )`?([a-z_]+(?:\.[\w-]+)+=[^\s`'\",;)\\{}]+)", text)
    }
    return [pytest.param(assignment, id=f"{place}: {assignment}") for place, assignment in sorted(found)]


@pytest.mark.parametrize("assignment", assignments())
def test_a_setting_that_is_taught_exists(assignment: str) -> None:
    ((section, values),) = parse_assignment(assignment).items()
    option, _ = next(iter(values.items())) if isinstance(values, dict) else (None, None)
    plugins = load_plugins()
    if section == "losses":
        ((name, options),) = values.items()
        assert set(options) <= set(plugins.get(name, "loss").model_fields)
    elif section in SLOTS:
        configs = [entry.config for entry in plugins.of_kind(SLOTS[section]).values()]
        assert any(option == "name" or option in config.model_fields for config in configs)
        assert option != "name" or plugins.get(values["name"], SLOTS[section])
    elif section in plugins.of_kind("score"):
        assert option in plugins.get(section, "score").model_fields
    elif section in plugins.of_kind("suite"):
        assert parse_component(plugins, "suite", {**values, "name": section}, section)
    else:
        assert option in RunConfig.model_fields[section].annotation.model_fields


@pytest.mark.parametrize("read", [read_benchmark, read_continual], ids=["portraits", "continual"])
def test_the_file_beside_published_results_is_the_one_that_made_them(read: Any) -> None:
    name = {read_benchmark: "portraits", read_continual: "continual"}[read]
    folder = ROOT / "docs" / "results"
    made_by = folder / name / {"portraits": "benchmark.yaml", "continual": "continual.yaml"}[name]
    assert read(folder / f"{name}.yaml").plain() == read(made_by).plain()
