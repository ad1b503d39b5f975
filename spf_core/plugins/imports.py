"""Importing the code of plugins: what failed is not run again, and a plugin file leaves nothing beside it.

Torch-free.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from spf_core.errors import PluginError
from spf_core.plugins.providers import refuse_file_of_other_spf

T = TypeVar("T")


class _Failures(MetaPathFinder):
    """Raises the error of a module that failed, where Python would run the module again."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}

    def find_spec(self, name: str, *_: Any) -> None:
        """Raise what the module raised; every other module is left to Python."""
        if error := self.errors.get(name):
            raise error

    def remember(self, error: BaseException, package: str) -> None:
        """Keep the error for the modules of the top-level package that it ended."""
        seen, cause = set[int](), error
        while cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            for frame, _ in traceback.walk_tb(cause.__traceback__):
                name = str(frame.f_globals.get("__name__", ""))
                own = frame.f_code.co_name == "<module>" and name.partition(".")[0] == package
                if own and name not in sys.modules:  # Python takes out those that fail
                    self.errors.setdefault(name, error)
            cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]


@contextmanager
def failing_once() -> Iterator[None]:
    """Inside, a module of a plugin that failed is not run again: importing it raises the same error.

    A package may bring components and commands, which are loaded apart from each other. In a program that
    goes on, such as a notebook, what failed may be mended and tried again: there it is run again.
    """
    if any(isinstance(finder, _Failures) for finder in sys.meta_path):
        yield
        return
    finder = _Failures()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):  # a plugin took it out
            sys.meta_path.remove(finder)


def imported(load: Callable[[], T], package: str) -> T:
    """What `load` imports of the top-level package `package`; an error of it is kept by `failing_once`."""
    try:
        return load()
    except BaseException as error:
        for finder in sys.meta_path:
            if isinstance(finder, _Failures):
                finder.remember(error, package)
        raise


def module_of(file: Path) -> str:
    """What the module of a plugin file is called."""
    return f"spf_file_{file.stem}"


class _UserFile(SourceFileLoader):
    """Leaves no __pycache__ in the folder of the user's file."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0) -> None:
        """Keep the bytecode nowhere."""


def import_file(path: str | Path) -> ModuleType:
    """Import a plugin file; PluginError where it is none, or made for another spf."""
    path = Path(path)
    if not path.is_file():
        raise PluginError("it does not exist; give the path of a .py file")
    if path.suffix != ".py":
        raise PluginError("it is not a Python file; give one whose name ends with .py")
    refuse_file_of_other_spf(path)
    name = module_of(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_UserFile(name, str(path)))
    assert spec is not None, "a loader is given"
    assert spec.loader is not None, "a loader is given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
