"""`spf plugins new` and `check`: a stranger's package, from the first command to the verdict."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import Spf, verdicts

from spf_cli.plugins.kinds import COMMAND, NEW_KINDS, WITHOUT_CONTRACT
from spf_cli.plugins.new import Licence
from spf_cli.plugins.scaffold import LONGEST, TEMPLATES
from spf_core import API_VERSION, __version__
from spf_core.plugins.configs import KINDS

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES, PUBLIC = DOCS / "examples", DOCS / "reference" / "api" / "index.md"
LONG = "a-name-that-has-thirty-two-chars"


def written(spf: Spf, folder: Path, kind: str, name: str, *options: str) -> Path:
    out = folder / kind
    done = spf("plugins", "new", kind, name, "--out", out, *options)
    assert done.code == 0, done.err
    return out


@pytest.fixture(scope="module")
def packages(spf: Spf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of every kind, whose names are as long as they may be."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in NEW_KINDS:
        written(spf, folder, kind, LONG)
    return folder


def test_there_is_a_template_of_every_kind() -> None:
    folders = {folder.name for folder in TEMPLATES.iterdir() if folder.is_dir()} - {"__pycache__"}
    kinds = {kind.replace("-", "_") for kind in (*KINDS, *WITHOUT_CONTRACT)}
    assert folders == kinds | {"package", "licences"}


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_a_package_is_complete(packages: Path, kind: str) -> None:
    folder, module = packages / kind, f"spf_{LONG.replace('-', '_')}"
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {
        *("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/ci.yml"),
        *(f"{module}/__init__.py", f"{module}/py.typed", f"tests/test_{module}.py"),
    } <= files
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = "spf.commands" if kind == COMMAND else "spf"
    assert project["entry-points"] == {group: {f"spf-{LONG}": module}}
    assert project["dependencies"][0].startswith(f"spf>={API_VERSION},<")
    texts = [file.read_text(encoding="utf-8") for file in folder.rglob("*") if file.is_file()]
    assert not re.search(
        r"(?i:new.?thing)|spf_cli|\[(?:KIND|LICENCE|API|NEXT|GROUP|USE|FILES|YEAR)\]", "".join(texts)
    )


def test_packages_are_linted_and_formatted(packages: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        for folder in packages.iterdir():
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--no-cache", "-q", "."],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (folder.name, done.stdout)


@pytest.mark.parametrize("licence", list(Licence))
def test_a_package_has_the_text_of_its_licence(spf: Spf, tmp_path: Path, licence: Licence) -> None:
    out = written(spf, tmp_path, "loss", "my-loss", "--license", licence, "--author", "Ada Lovelace")
    text = (out / "LICENSE").read_text(encoding="utf-8")
    assert licence.partition("-")[0] in text
    assert licence is Licence.APACHE or "Ada Lovelace" in text
    project = tomllib.loads((out / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == licence


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("los", "mine", ("'los'", "Did you mean 'loss'?")),
        ("loss", "My_Loss", ("'My_Loss'", "as in my-loss")),
        ("loss", "../up", ("'../up'", "small letters")),
        ("loss", "2nd", ("'2nd'", "a letter first")),
        ("loss", "a" * (LONGEST + 1), (f"at most {LONGEST}",)),
        ("loss", "denoising", ("'denoising' exists already", "a loss of spf-losses")),
        ("loss", "core", ("'spf_core' is installed already",)),
        ("loss", "none", ("choose another name, such as my-none",)),
        ("control-map", "control-map", ("choose another name, such as my-control-map",)),
        ("loss", "loss-config", ("choose another name, such as my-loss-config",)),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line(
    spf: Spf, tmp_path: Path, kind: str, name: str, words: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    assert spf("plugins", "new", kind, name, "--out", out).fails_with(*words)
    assert not out.exists()


def test_a_folder_that_is_filled_is_left_as_it_is(spf: Spf, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert spf("plugins", "new", "loss", "my-loss", "--out", tmp_path).fails_with("is not empty", "--out")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_templates_and_examples_import_public_modules_only() -> None:
    public = set(re.findall(r"`(spf_[\w.]+)`", PUBLIC.read_text(encoding="utf-8")))
    for file in (*TEMPLATES.rglob("*.py"), *EXAMPLES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) and node.module else ""
            own = module.startswith(("spf_cli.templates", "spf_edge_loss", "spf_otsu_region"))
            assert own or not module.startswith("spf_") or module in public, f"{file}: {module}"


def test_the_version_of_the_api_begins_that_of_spf() -> None:
    assert __version__.startswith(f"{API_VERSION}.")


def test_a_package_that_is_not_installed_is_checked(
    spf: Spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    out = written(spf, tmp_path, "metric", "luma-gap")
    checked = spf("plugins", "check", out)
    assert checked.code == 0, checked
    assert set(verdicts(checked).values()) == {"passed"}
    assert len(verdicts(checked)) == 6


def test_the_next_commands_bring_what_the_tests_need(spf: Spf, tmp_path: Path) -> None:
    out = tmp_path / "my loss"
    said = spf("plugins", "new", "loss", "edge-glow", "--out", out).out.splitlines()
    assert [line.strip() for line in said[1:]] == [
        f"pip install -e '{out}[dev]'",
        f"python -m pytest '{out}'",
        f"spf plugins check '{out}'",
    ]


def test_a_package_that_spf_would_skip_does_not_pass(spf: Spf, tmp_path: Path) -> None:
    file = written(spf, tmp_path, "loss", "for-the-past") / "pyproject.toml"
    old = re.sub(r'"spf>=[^"]*"', '"spf<0.1"', file.read_text(encoding="utf-8"))
    file.write_text(old, encoding="utf-8")
    refused = spf("plugins", "check", file.parent, "--quick")
    assert refused.fails_with("it is made for spf<0.1", "install another version of 'spf-for-the-past'")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing-like-it", ("no plugin named 'nothing-like-it'",)),
        ("./nowhere", ("has no pyproject.toml",)),
        ("nowhere.py", ("nowhere.py", "does not exist")),
    ],
)
def test_what_cannot_be_checked_is_one_line(spf: Spf, given: str, words: tuple[str, ...]) -> None:
    assert spf("plugins", "check", given).fails_with(*words)


REQUIRED = """
from spf_core.plugins import LossConfig, hookimpl
from pydantic import Field

class Lacking(LossConfig):
    \"\"\"A loss with an option that has no default.\"\"\"
    name = "lacking"
    rank: int = Field(description="how many")

    def build(self):
        return lambda state: state.response.pred_BCHW.square().mean() * self.rank

@hookimpl
def spf_register(register):
    register(Lacking)
"""


def test_an_option_without_a_default_is_asked_for(spf: Spf, tmp_path: Path) -> None:
    file = tmp_path / "lacking.py"
    file.write_text(REQUIRED, encoding="utf-8")
    asked = spf("plugins", "check", file, "--quick")
    assert asked.fails_with("loss 'lacking' has no default for rank; add --set rank=VALUE")
    assert spf("plugins", "check", file, "--quick", "--set", "rank=2").code == 0


def test_a_backbone_is_checked_on_the_tiny_folder(
    spf: Spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = written(spf, tmp_path, "backbone", "of-my-own")
    assert spf("plugins", "check", folder, "--quick").code == 0


@pytest.mark.parametrize("kind", WITHOUT_CONTRACT)
def test_a_package_of_hooks_or_commands_has_no_contract(
    spf: Spf, packages: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert spf("plugins", "check", packages / kind).fails_with(
        "registers no component", "run the package's tests"
    )
