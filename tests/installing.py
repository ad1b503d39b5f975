"""Components that a test defines, registered as those of an installed package are."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from spf_core.plugins import Component, Register, hookimpl

PLUGIN_FILES = Path(__file__).with_name("plugin_files")  # for `--plugin FILE.py`, and for other processes
PACKAGE, MODULE = "of-a-test", "of_a_test"
METADATA = {
    "METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n",
    "entry_points.txt": f"[spf]\n{PACKAGE} = {MODULE}\n",
}
ANY = DistributionFinder.Context()


@contextmanager
def installed(*configs: type[Component], **hooks: Callable[..., object]) -> Iterator[None]:
    """Whoever loads plugins finds the package `of-a-test` 1.0 too, with these `configs` and `hooks`."""

    @hookimpl
    def spf_register(register: Register) -> None:
        for config in configs:
            register(config)

    module = ModuleType(MODULE)
    vars(module)["spf_register"] = spf_register
    vars(module).update({name: hookimpl(hook) for name, hook in hooks.items()})
    finder = _Finder()
    sys.modules[MODULE] = module
    sys.meta_path.append(finder)  # importlib.metadata asks every finder for distributions
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        del sys.modules[MODULE]


class _OfATest(Distribution):
    def read_text(self, filename: str) -> str | None:
        return METADATA.get(filename)

    def locate_file(self, path: object) -> NoReturn:
        raise FileNotFoundError(path)


class _Finder(DistributionFinder):
    def find_spec(self, *_: object) -> None:
        """It finds distributions alone."""

    def find_distributions(self, context: DistributionFinder.Context = ANY) -> Iterator[Distribution]:
        if context.name in {None, PACKAGE}:
            yield _OfATest()
