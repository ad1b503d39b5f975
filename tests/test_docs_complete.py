"""The pages that are made from the code hold all of it, and what pages point at exists."""

import ast
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run_spf

import spf_core.errors
from docs.generators.commands import all_commands
from docs.generators.messages import error_names, messages
from docs.generators.parts import parts
from spf_cli.plugins.kinds import NEW_KINDS
from spf_core import __version__
from spf_core.config.run_config import RunConfig
from spf_core.config.sections import Section
from spf_core.plugins.discovery import load_plugins
from spf_core.plugins.hookspecs import HOOKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PARTS = parts()
COMMANDS = dict(all_commands())
PAGES = {
    page: page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    if not {".generated", "examples"} & set(page.parts)
}
INCLUDED = re.compile(r'--8<-- "docs/\.generated/([\w-]+)\.md"')
# tests/walk runs all commands of the one page, tests/cli/test_newcomer.py a walk like the other's.
WALKED = {"docs/tutorials/twenty-photos.md", "docs/tutorials/first-plugin.md"}
CHEAP = ("plugins", "config", "--version")


def whole(page: Path) -> str:
    """A page with its generated parts."""
    return INCLUDED.sub(lambda found: PARTS[found[1]], PAGES[page])


def under(heading: str, text: str) -> str:
    """What stands under a heading, up to the next one."""
    pattern = rf"^#+ {re.escape(heading)}(?: {{[^\n]*}})?\n(.*?)(?=^#|\Z)"
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading '{heading}'"
    return found[1]


def test_every_generated_part_is_on_a_page() -> None:
    assert {name for text in PAGES.values() for name in INCLUDED.findall(text)} == set(PARTS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_each_of_its_options_is_in_the_reference(words: str) -> None:
    section = under(words, whole(DOCS / "reference" / "commands.md"))
    for param in COMMANDS[words].params:
        assert (
            param.hidden
            or all(name in section for name in (*param.opts, *param.secondary_opts))
            or (param.param_type_name == "argument")
        )


def test_every_component_and_each_of_its_options_is_in_the_reference() -> None:
    page = whole(DOCS / "reference" / "components.md")
    for name, entry in load_plugins().entries.items():
        section = under(name, page)
        assert all(f"<code>{option}" in section for option in entry.config.model_fields)


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_a_package_of_every_kind_is_shown(kind: str) -> None:
    section = under(kind, whole(DOCS / "reference" / "packages.md"))
    blocks = re.findall(r"^    ```python\n(.*?)^    ```", section, re.MULTILINE | re.DOTALL)
    files = [textwrap.dedent(block) for block in blocks]
    assert len(files) >= 2
    assert all(ast.get_docstring(ast.parse(file)) for file in files)
    assert "@hookimpl" in section


def test_every_setting_of_a_configuration_is_in_the_reference() -> None:
    page = whole(DOCS / "reference" / "configuration.md")
    for name, info in RunConfig.model_fields.items():
        assert f"`{name}`" in page or f"<code>{name}</code>" in page or f"## {name} " in page
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            section = under(name, page)
            assert all(f"<code>{option}</code>" in section for option in info.annotation.model_fields)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_its_place_in_the_life_cycle(hook: str) -> None:
    assert f"`{hook}`" in whole(DOCS / "reference" / "hooks.md")


def test_every_class_of_errors_is_documented_with_a_meaning() -> None:
    rows = under("Classes", whole(DOCS / "reference" / "errors.md")).splitlines()
    shown = {row.split("</code>")[0][len("| <code>") :]: row for row in rows if row.startswith("| <code>")}
    assert set(shown) == error_names(ROOT)
    classes = [value for value in vars(spf_core.errors).values() if isinstance(value, type)]
    errors = {each.__name__ for each in classes if issubclass(each, Exception)}
    assert errors <= set(shown)
    assert not [name for name, row in shown.items() if row.endswith("|  |")]


def test_the_messages_come_from_the_source_with_cause_and_way_out(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "mine.py").write_text(
        "class MineError(SpfError): ...\n"
        "raise MineError(f\"'{quoted(folder)}' is not a folder; give {', '.join(ways)} in its place\")\n"
        "raise MineError(f\"no way '{name}' is known.{did_you_mean(name, ways)} Ways: {ways}\")\n"
        "raise ValueError('this is not for users')\n"
    )
    (found, hinted) = messages(tmp_path)
    assert hinted.way_out == "Did you mean 'NAME'? Ways: WAYS"
    assert (found.cause, found.way_out) == ("'FOLDER' is not a folder", "give WAYS in its place")


# Messages without a way out of their own, each with the reason.
WITHOUT_WAY_OUT = {
    "OLD=VALUE: this option is now GIVEN": "the new name is the way out",
    "CONFIG failed in the step: ERROR": "ERROR is a message of spf's with a way out",
    "WHAT cannot be used: ERROR": "the same",
    "'FOLDER' cannot be used: ERROR": "the same",
    "--profile: nothing else fits a card of CARD, and ERROR": "the same",
    "it failed on every pair: VALUES": "VALUES is what the score says",
    "no judge of WHAT: VALUE": "VALUE is a reason in a table of scores",
    "'FILE' needs the plugin file PLACE": "PLACE has one: read it, then add --plugin",
    "NAME differs from what spf saved": "the message around it says to put one back",
    "STATE_FILE is of step STEP, PLACE of STEP": "the same",
    "the target 'TARGET' alters what makes up the identity": "a reason in a table of scores",
    "prompt PROMPT: the text FAULT": "FAULT ends with one: write the text anew, in UTF-8",
    "left out by choice": "the user chose so",
}


def test_every_message_of_spf_names_a_way_out() -> None:
    found = list(messages(ROOT))
    assert len(found) > 400
    without = {each.cause for each in found if not each.way_out}
    assert without == set(WITHOUT_WAY_OUT), "give each message a way out, or a reason here"
    page = whole(DOCS / "guides" / "trouble-shooting.md")
    assert "is not a run folder, but training data" in page
    assert "out of memory on DEVICE" in page


def slugs(text: str) -> set[str]:
    """The anchors of a page: of its headings, as Python-Markdown makes them, written out, and of Python."""
    modules = re.findall(r"^::: (\S+)", text, re.MULTILINE)
    members = {f"{module}.{name}" for module in modules for name in names_in(module)}
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = members | set(re.findall(r"\{ ?#([\w.-]+)", text)) | set(re.findall(r'id="([\w.-]+)"', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        heading = re.sub(r"\s*\{.*\}$", "", heading)
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading)).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", plain.encode("ascii", "ignore").decode()).strip())
    return found


def test_a_link_to_a_place_on_a_page_leads_there() -> None:
    missing = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", whole(page)):
            to = (page.parent / target).resolve() if target else page
            if to in PAGES and anchor not in slugs(whole(to)):
                missing.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert not missing


def site_settings() -> Any:
    """What mkdocs.yml says, with the defaults of what the environment may set."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"!ENV \[\w+, (.*)\]", r"\1", text))


def test_the_site_says_which_version_it_describes() -> None:
    assert site_settings()["copyright"] == f"The pages of spf {__version__}, Apache-2.0"


def test_every_page_is_in_the_navigation_or_left_out_on_purpose() -> None:
    def names(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for each in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
            yield from names(each)

    settings = site_settings()
    outside = [pattern.strip() for pattern in settings["not_in_nav"].split()]
    known = set(names(settings["nav"]))
    for page in PAGES:
        if page.is_relative_to(DOCS):
            place = page.relative_to(DOCS)
            assert str(place) in known or any(place.match(pattern) for pattern in outside), place
    assert {place for place in known if not (DOCS / place).exists()} == set()


def blocks(language: str) -> Iterator[tuple[str, str, str]]:
    """Each block of a language: its page, what stands before it, and its text."""
    for page, text in PAGES.items():
        for found in re.finditer(rf"^ *```{language}[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            yield str(page.relative_to(ROOT)), text[: found.start()], found[1]


def python_blocks() -> list[Any]:
    return [pytest.param(block, id=page) for page, _, block in blocks("python") if "--8<--" not in block]


def names_in(module: str) -> set[str]:
    """What a module of spf defines or imports, read without importing it."""
    first = module.partition(".")[0]
    root = next(folder for folder in (ROOT, ROOT / "cli", ROOT / "plugins") if (folder / first).is_dir())
    place = root.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        found |= {each.asname or each.name for each in getattr(node, "names", ())}
        found |= {target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)}
        found |= {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
    return found


@pytest.mark.parametrize("block", python_blocks())
def test_python_in_the_docs_compiles_and_imports_what_there_is(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("spf_core"):
            assert {each.name for each in node.names} <= names_in(str(node.module))


def cheap_lines() -> list[Any]:
    found = {
        line: page
        for page, _, block in blocks("console")
        for line in re.findall(r"^ *\$ spf (.*)$", block, re.MULTILINE)
        if line.startswith(CHEAP) and "run.yaml" not in line and page not in WALKED
    }
    # A component that a reader writes exists only then.
    written = {line.split()[3] for line in found if line.startswith("plugins new")}
    found = {line: page for line, page in found.items() if not written & set(line.split())}
    return [pytest.param(line, id=f"{page}: {line}") for line, page in found.items()]


@pytest.mark.parametrize("line", cheap_lines())
def test_a_command_of_the_docs_that_reads_no_files_runs(line: str) -> None:
    outcome = run_spf(*shlex.split(line, comments=True))
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize(("page", "before", "block"), list(blocks("console")))
def test_a_command_that_is_neither_run_nor_parsed_says_why(page: str, before: str, block: str) -> None:
    if page in WALKED:
        return
    programs = {line.split()[0] for line in re.findall(r"^ *\$ (.*)$", block, re.MULTILINE)}
    tested = {"spf", "make", "torchrun", "accelerate", "SPF_DEBUG=1"}
    assert programs <= tested or re.search(r"<!-- not run: .+ -->\n\s*$", before), page


def test_mkdocs_stays_below_2() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (mkdocs,) = [each for each in project["optional-dependencies"]["docs"] if each.startswith("mkdocs>")]
    assert "<2" in mkdocs


def test_no_page_asks_another_server_for_anything() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert not re.search(r"https?://", settings)
    asked = re.compile(r"<(?:script|img|link)[^>]+https?:|!\[[^]]*\]\(https?:")
    assert not [page for page, text in PAGES.items() if asked.search(text)]


def test_every_entry_of_the_glossary_has_a_meaning() -> None:
    glossary = PAGES[DOCS / "reference" / "glossary.md"]
    headings = re.findall(r"^#{2,3} (.+)$", glossary, re.MULTILINE)
    assert len(headings) > 20
    for heading in headings:
        below = glossary.split(f"# {heading}\n", 1)[1].lstrip()
        assert below[0] != "#" or below.startswith("###"), heading
    rows = [line for line in glossary.splitlines() if line.startswith("|")]
    assert not [row for row in rows if re.search(r"\|\s*\|$", row)]


@pytest.mark.parametrize("folder", ["portraits", "continual"])
def test_every_column_of_the_published_overview_is_in_the_glossary(folder: str) -> None:
    glossary = PAGES[DOCS / "reference" / "glossary.md"].lower()
    results = PAGES[DOCS / "results" / folder / "results.md"]
    head = re.search(r"^\| preset \|(.*)\|$", results, re.MULTILINE)
    assert head
    for column in head[1].split("|"):
        name = re.sub(r"[↑↓,].*", "", column).strip().lower()
        assert name in glossary, column


def test_every_check_of_a_kind_is_on_the_page_of_the_test_kit() -> None:
    page = PAGES[DOCS / "reference" / "api" / "testing.md"]
    kit = ast.parse((ROOT / "spf_core" / "testing" / "component.py").read_text(encoding="utf-8"))
    checks = {
        each.targets[0].id
        for each in kit.body
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and each.targets[0].id.startswith("check_")
    }
    assert checks
    assert checks <= set(re.findall(r"`(check_\w+)`", page))


def test_the_reference_shows_how_each_part_is_called_and_what_a_step_holds() -> None:
    options = re.search(
        r"filters: (\[.*\])\n\s+merge_init_into_class: true", (ROOT / "mkdocs.yml").read_text("utf-8")
    )
    assert options, "without it, the site shows no field of `StepState`"
    hidden = re.compile(yaml.safe_load(options[1])[0].removeprefix("!"))
    assert not hidden.search("__call__")
    assert hidden.search("_private")
    assert hidden.search("__init__")
