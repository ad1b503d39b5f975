"""The rules the code keeps: files of one story, imports that point down, a fast start, all described."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import Section
from spf_core.plugins import Component
from spf_core.plugins.discovery import load_plugins

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    file
    for root in ("spf_core", "plugins", "cli", "tests", "docs/examples")
    for file in (ROOT / root).rglob("*.py")
)
TEXTS = {file: file.read_text(encoding="utf-8") for file in SOURCES}
PACKAGES = [file for file in SOURCES if not file.is_relative_to(ROOT / "tests")]
APP = "from spf_cli.app import build_app; build_app()"
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate", "matplotlib", "scipy", "PIL", "numpy")
CONFIGS = {name: entry.config for name, entry in load_plugins().entries.items()}


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_no_module_imports_itself_over_others() -> None:
    packages = ("spf_core", "spf_plugins", "spf_lab", "spf_portraits", "spf_photos", "spf", "spf_cli")
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True)  # imports in functions too
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def test_a_file_tells_one_story() -> None:
    assert [relative(file) for file, text in TEXTS.items() if len(text.splitlines()) > 420] == []


def test_a_function_has_at_most_60_lines_besides_its_docstring() -> None:
    long = []
    for file in PACKAGES:
        for node in ast.walk(ast.parse(TEXTS[file])):
            if isinstance(node, ast.FunctionDef):
                documented = len((ast.get_docstring(node) or "").splitlines())
                if (node.end_lineno or 0) - node.lineno - documented >= 60:
                    long.append(f"{relative(file)}: {node.name}")
    assert long == []


def test_nothing_that_is_read_can_run_code() -> None:
    safe = re.compile(r"allow_pickle=False|torch\.load\([^()]*, weights_only=True\)")
    runs = re.compile(r"torch\.load\(|pickle|yaml\.(unsafe_|full_)?load\(")
    assert [relative(file) for file in PACKAGES if runs.search(safe.sub("", TEXTS[file]))] == []


def test_private_names_of_torch_stand_in_two_files_that_say_why() -> None:
    private = re.compile(r"\btorch(\.\w+)*\._[a-zA-Z]|^\s*from torch\S* import .*\b_[a-z]", re.MULTILINE)
    found = {relative(file) for file in PACKAGES if private.search(TEXTS[file])}
    assert found == {"spf_core/utils/fake_tensors.py", "spf_core/utils/distributed.py"}


def test_no_test_imports_a_conftest() -> None:
    """Several folders have one: the import finds whichever pytest read last in this process."""
    imports = re.compile(r"^\s*(from|import) conftest\b", re.MULTILINE)
    assert [relative(file) for file, text in TEXTS.items() if imports.search(text)] == []


def test_a_folder_of_the_engine_is_read_at_a_glance() -> None:
    counts = Counter(file.parent for file in (ROOT / "spf_core").rglob("*.py") if file.name != "__init__.py")
    assert [relative(folder) for folder, count in counts.items() if count > 16] == []


def test_nothing_lies_flat_at_the_top_of_the_engine() -> None:
    assert {file.name for file in (ROOT / "spf_core").glob("*.py")} == {"__init__.py", "errors.py"}


def strings(code: str) -> Iterator[str]:
    """Every text in a file's code; docstrings are not."""
    tree = ast.parse(code)
    bodies = [
        node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    described = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.value


def test_the_engine_names_no_component() -> None:
    """Names without a hyphen are ordinary words too, such as `mask`, and are left to the reader's eye."""
    plain = ("optimizer", "tracker")  # whose names are no ordinary words
    names = {name for name, config in CONFIGS.items() if "-" in name or config.kind in plain}
    names -= {"cross-attention"}
    named = re.compile(rf"(?<![\w-])({'|'.join(sorted(names))})(?![\w-])")
    found = {
        f"{relative(file)}: {match[1]}"
        for file in PACKAGES
        if file.is_relative_to(ROOT / "spf_core")
        for text in strings(TEXTS[file])
        for match in named.finditer(text)
    }
    assert found == set()


def test_imports_point_down_only() -> None:
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "start",
    [
        "import spf_core.config.run_config",
        "import spf_cli.app",
        "from spf_core.plugins.discovery import load_plugins; assert not load_plugins().broken",
        "import spf_lab.continual.plan",
        f"{APP}(['--help'], standalone_mode=False)",
        f"{APP}(['plugins', 'list'], standalone_mode=False)",
        f"{APP}(['plugins', 'show', 'sfcm-v1'], standalone_mode=False)",
        f"{APP}(['config', 'show'], standalone_mode=False)",
        f"{APP}(['config', 'schema'], standalone_mode=False)",
    ],
)
def test_what_a_user_waits_for_imports_nothing_heavy(start: str) -> None:
    report = f"import sys; print('LOADED', *(name for name in {HEAVY} if name in sys.modules))"
    done = run(sys.executable, "-c", f"{start}\n{report}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


@pytest.mark.parametrize("module", ["build", "simulate", "analysis"])
def test_a_user_study_needs_no_torch(module: str) -> None:
    script = f"import sys, spf_lab.study.{module}; assert 'torch' not in sys.modules"
    done = run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_a_component_says_in_one_line_what_it_is() -> None:
    summaries = {name: (vars(each).get("__doc__") or "").partition("\n")[0] for name, each in CONFIGS.items()}
    assert {k: v for k, v in summaries.items() if not re.fullmatch(r"[A-Z].{10,110}\.", v)} == {}


def test_a_component_has_a_kebab_case_name() -> None:
    assert [name for name in CONFIGS if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name)] == []


def options() -> Iterator[tuple[str, type[Component] | type[Section], str]]:
    for name, config in CONFIGS.items():
        yield from ((name, config, option) for option in config.model_fields)
    for name, field in RunConfig.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from ((name, field.annotation, option) for option in field.annotation.model_fields)


def test_an_option_is_described() -> None:
    described = {
        f"{name}.{option}": config.model_fields[option].description or ""
        for name, config, option in options()
    }
    assert {option: text for option, text in described.items() if len(text.split()) < 2} == {}


def requirements() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from (re.split(r"[><=~!\[; ]", requirement)[0] for requirement in group)


@pytest.mark.parametrize("name", sorted(requirements()))
def test_a_dependency_is_pinned_and_its_licence_recorded(name: str) -> None:
    licences = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    (row,) = [line for line in licences.splitlines() if line.startswith(f"| {name} |")]
    assert all(cell.strip() for cell in row.strip("|").split("|"))
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    assert re.search(rf"^{re.escape(name.lower())}==\d", pins, re.MULTILINE)
