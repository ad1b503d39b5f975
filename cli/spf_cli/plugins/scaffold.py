"""What `spf plugins new` writes: a template of its kind with the names of the new component in it."""

import ast
import builtins
import importlib.util
import keyword
import re
import shlex
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from spf.loading import refuse_filled
from spf_cli.plugins.kinds import COMMAND, HOOKS, NEW_KINDS, WITHOUT_CONTRACT
from spf_core import API_VERSION
from spf_core.errors import ConfigError, did_you_mean, short
from spf_core.plugins.discovery import load_plugins

TEMPLATES = Path(__file__).parents[1] / "templates"
# What the templates call the new component: its name, its class and its package.
NAME, CLASS, MODULE, DISTRIBUTION = "new-thing", "NewThing", "spf_new_thing", "spf-new-thing"
LONGEST = 32  # characters of a name; longer ones would break lines of the templates
_KEBAB_CASE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PLACES = {
    "README.md": "README.md",
    "ci.yml": ".github/workflows/ci.yml",
    "gitignore": ".gitignore",
    "project.toml": "pyproject.toml",
}
# What is done with a component, as lines of the README; those of other kinds are named in a configuration.
_USES = {
    COMMAND: "spf new-thing RUN",
    HOOKS: "spf train --data DIR --out RUN && spf report RUN",
    "adapter": "spf train --data DIR --plugin new-thing",
    "backbone": "spf train --data DIR --backbone new-thing --set backbone.path=FOLDER",
    "control-map": "spf train --data DIR --plugin new-thing",
    "data-reader": "spf data check DIR --trigger 'wearing a hat' --set reader=new-thing",
    "exporter": "spf export RUN --format new-thing --out FILE",
    "loss": f"spf train --data DIR --plugin {NAME} --set losses.{NAME}.weight=0.5",
    "metric": "spf evaluate RUN --score new-thing",
    "optimizer": "spf train --data DIR --plugin new-thing",
    "preset": "spf train --data DIR --preset new-thing",
    "prompt-editor": "spf train --data DIR --plugin new-thing",
    "reference": "spf train --data DIR --plugin new-thing",
    "response": "spf train --data DIR --plugin new-thing",
    "reward": "spf train --data DIR --plugin new-thing --plugin reward-feedback",
    "score": "spf evaluate RUN --score new-thing",
    "suite": "spf plugins show new-thing",
    "tracker": "spf train --data DIR --set 'train.trackers=[new-thing]'",
}


@dataclass(frozen=True)
class Package:
    """A package to write: its files by their places in the folder `out`."""

    kind: str
    name: str
    out: Path
    distribution: str
    files: dict[str, str] = field(repr=False)

    def write(self) -> None:
        """Write every file."""
        for place, text in self.files.items():
            file = self.out / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    @property
    def next_commands(self) -> list[str]:
        """What an author does next, as lines for a shell."""
        folder, with_tests = shlex.quote(str(self.out)), shlex.quote(f"{self.out}[dev]")
        # `pytest` alone may be that of another environment, which has no spf.
        lines = [f"pip install -e {with_tests}", f"python -m pytest {folder}"]
        return lines if self.kind in WITHOUT_CONTRACT else [*lines, f"spf plugins check {folder}"]


def plan(kind: str, name: str, out: Path | None, licence: str, author: str) -> Package:
    """The package to write; ConfigError or RunError for a name or a folder that cannot be used."""
    if kind not in NEW_KINDS:
        raise _unknown_kind(kind)
    _refuse_name(name)
    distribution = name if name.startswith("spf-") else f"spf-{name}"
    module = distribution.replace("-", "_")
    class_name = "".join(word.capitalize() for word in name.split("-"))
    sources = _sources(kind)
    _refuse_taken(name, module, class_name, sources)
    folder = out or Path(distribution)
    refuse_filled(folder, "choose another with --out")
    named = {DISTRIBUTION: distribution, MODULE: module, CLASS: class_name, NAME: name}
    texts = {_place(file): text for file, text in sources.items()}
    for file, place in _PLACES.items():
        texts[place] = _common(_read(TEMPLATES / "package" / file), kind, licence, sources)
    files = {_filled(place, named): _filled(text, named) for place, text in texts.items()}
    text = _read(TEMPLATES / "licences" / f"{licence}.txt").replace("[YEAR]", str(date.today().year))
    files["LICENSE"] = text.replace("[HOLDER]", author or f"the authors of {distribution}")
    return Package(kind, name, folder, distribution, {**files, f"{module}/py.typed": ""})


def _sources(kind: str) -> dict[str, str]:
    """The Python files of the kind's template, which import each other as the new package's."""
    folder = TEMPLATES / kind.replace("-", "_")
    files = sorted(folder.glob("*.py"))
    return {file.name: _read(file).replace(f"spf_cli.templates.{folder.name}", MODULE) for file in files}


def _place(file: str) -> str:
    """Where a file of a template goes in the package."""
    return f"tests/{file.replace('new_thing', MODULE)}" if file.startswith("test_") else f"{MODULE}/{file}"


def _common(text: str, kind: str, licence: str, sources: dict[str, str]) -> str:
    """A file that packages of all kinds have, with what differs between them."""
    major, minor = map(int, API_VERSION.split("."))
    checked = "    spf plugins check .         # the contract of its kind, as a table\n"
    check = "" if kind in WITHOUT_CONTRACT else checked
    lines = [
        f"- `{MODULE}/{name}`: {ast.get_docstring(ast.parse(source)).partition(chr(10))[0]}"  # type: ignore[union-attr]
        for name, source in sources.items()
        if not name.startswith("test_")
    ]
    given = {
        "[KIND]": kind.capitalize().replace("-", " "),
        "[LICENCE]": licence,
        "[API]": API_VERSION,
        "[NEXT]": f"{major}.{minor + 1}",
        '"[GROUP]"': '"spf.commands"' if kind == COMMAND else "spf",
        "[USE]\n": f"{check}    {_USES.get(kind, '')}\n\n".replace("    \n", ""),
        "[FILES]": "\n".join(lines),
    }
    for place, value in given.items():
        text = text.replace(place, value)
    return text


def _filled(text: str, named: dict[str, str]) -> str:
    """The text with the component's names in place of the template's, all at once."""
    return re.sub("|".join(map(re.escape, named)), lambda found: named[found[0]], text)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _unknown_kind(kind: str) -> ConfigError:
    hint = did_you_mean(kind, NEW_KINDS)
    return ConfigError(f"there is no kind of component '{short(kind)}'.{hint} Kinds: {', '.join(NEW_KINDS)}")


def _refuse_name(name: str) -> None:
    """ConfigError for what can be no component's name."""
    if not _KEBAB_CASE.fullmatch(name):
        kebab = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-")
        hint = f", as in {kebab}" if _KEBAB_CASE.fullmatch(kebab) else ""
        raise ConfigError(
            f"'{short(name)}' is no name of a component; write small letters and digits, a letter first, "
            f"and single hyphens between words{hint}"
        )
    if len(name) > LONGEST:
        raise ConfigError(f"'{short(name)}' has {len(name)} characters; choose a name of at most {LONGEST}")


def _refuse_taken(name: str, module: str, class_name: str, sources: dict[str, str]) -> None:
    """ConfigError where the component, its package or its class has a name that something else has."""
    if entry := load_plugins().entries.get(name):
        raise ConfigError(
            f"'{name}' exists already: it is a {entry.config.kind} of {entry.provider} {entry.version}; "
            "choose another name"
        )
    if importlib.util.find_spec(module) is not None:
        raise ConfigError(
            f"a Python package '{module}' is installed already; choose another name than '{name}'"
        )
    words = {word for text in sources.values() for word in re.findall(r"\w+", text)}
    made = {word.replace(CLASS, class_name) for word in words if CLASS in word}
    if keyword.iskeyword(class_name) or made & (words | set(dir(builtins))):
        raise ConfigError(
            f"a class for '{name}' would have the name of something in Python or spf; choose another name, "
            f"such as my-{name}"
        )
