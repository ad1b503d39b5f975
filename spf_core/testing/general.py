"""Checks of every component, whatever its kind."""

import importlib.util
import os
import subprocess
import sys

from pydantic import ValidationError

from spf_core.plugins.configs import KINDS
from spf_core.plugins.discovery import FILE
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject

_HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate")
_FROM_FILE = "from spf_core.plugins.imports import import_file; import_file({place!r})"
_FROM_MODULE = "import importlib; importlib.import_module({place!r})"


def imports_nothing_heavy(subject: Subject) -> None:
    """Importing the module of the config class imports no torch."""
    module, entry = type(subject.config).__module__, subject.plugins.entries.get(subject.config.name)
    if entry and entry.version == FILE:
        start = _FROM_FILE.format(place=entry.provider)
    elif module in ("__main__", "builtins") or _spec(module) is None:
        raise NotApplicable("the class is defined in no module that can be imported again")
    else:
        start = _FROM_MODULE.format(place=module)
    script = f"{start}\nimport sys\nprint(*(name for name in {_HEAVY} if name in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failure(f"its module cannot be imported: {done.stderr.strip().splitlines()[-1]}")
    found = done.stdout.strip().splitlines()[-1:]
    if found and found[0]:
        raise Failure(
            f"importing its module imports {found[0].replace(' ', ', ')}, and every `spf --help` waits for "
            "that; import them inside build(), and for annotations under `if TYPE_CHECKING:`"
        )


def _spec(module: str) -> object:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None


def is_described(subject: Subject) -> None:
    """The class has a summary, and each option of its own a description."""
    kind = type(subject.config)
    if not (vars(kind).get("__doc__") or "").strip():
        raise Failure("the config class has no docstring; its first line is the summary in spf plugins list")
    inherited = KINDS[subject.kind].model_fields
    bare = [
        name
        for name, option in kind.model_fields.items()
        if name not in inherited and not (option.description or "").strip()
    ]
    if bare:
        names = ", ".join(f"'{name}'" for name in bare)
        raise Failure(f"no description of the option {names}; write Field(..., description='...') for each")


def is_saved_and_read(subject: Subject) -> None:
    """The options, saved in a run's configuration, are read as they were."""
    saved = {name: value for name, value in subject.options.items() if name != "name"}
    try:
        again = type(subject.config).model_validate(saved)
    except ValidationError as error:
        reason = error.errors()[0]
        raise Failure(
            f"its saved options cannot be read again: {reason['loc']}: {reason['msg']}; a validator must "
            "accept what a configuration file holds"
        ) from None
    if again != subject.config:
        raise Failure("its options change when they are saved and read; make its validators keep them")


def is_built(subject: Subject) -> None:
    """`build()` returns what the protocol of the kind describes."""
    subject.build()


CHECKS: tuple[tuple[str, Check], ...] = (
    ("imports no torch", imports_nothing_heavy),
    ("summary and options are described", is_described),
    ("options are saved and read again", is_saved_and_read),
)
BUILT = ("build() returns what its protocol asks for", is_built)
