"""Which spf a plugin is made for, what spf says of each plugin, and names that have moved."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Spf

from spf_core.plugins.discovery import load_plugins
from spf_core.utils.deprecation import moved

SOURCE = """
from pathlib import Path
from spf_core.plugins import LossConfig, hookimpl

with Path({trace!r}).open("a") as stream:
    stream.write("imported")

class Quiet(LossConfig):
    \"\"\"A loss that is always zero.\"\"\"
    name = "quiet-loss"
    needs = frozenset({{"map", "reference"}})

@hookimpl
def spf_register(register):
    register(Quiet)
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A file that holds a word for each time that the plugin was imported."""
    file = tmp_path / "trace"
    file.touch()
    return file


@pytest.mark.parametrize(
    "requirement", ["spf>=0.1,<0.2", "spf", "SPF>=0.1.0", "spf>9; extra == 'dev'", "torch>=99"]
)
def test_a_plugin_for_this_spf_is_loaded(install: Callable[..., None], trace: Path, requirement: str) -> None:
    install("quiet-package", SOURCE.format(trace=str(trace)), metadata=f"Requires-Dist: {requirement}\n")
    plugins = load_plugins()
    assert plugins.broken == []
    assert "quiet-loss" in plugins.entries


@pytest.mark.parametrize("requirement", ["spf>=0.2", "spf<0.1", "spf==0.0.*"])
def test_a_plugin_for_another_spf_is_skipped_before_it_is_imported(
    install: Callable[..., None], trace: Path, requirement: str
) -> None:
    install("quiet-package", SOURCE.format(trace=str(trace)), metadata=f"Requires-Dist: {requirement}\n")
    (broken,) = load_plugins().broken
    assert f"it is made for {requirement}, and this is spf 0.1.0" in str(broken)
    assert "install another version of 'quiet-package', or of spf" in str(broken)
    assert trace.read_text() == ""


def state_of(shown: str, plugin: str) -> str:
    """The last columns of a plugin's row in `spf plugins list`."""
    (line,) = [line for line in shown.splitlines() if line.startswith(plugin)]
    return re.sub(r" {2,}", " | ", line[len(plugin) :].strip())


def test_list_says_the_state_of_each_plugin_and_imports_it_once(
    install: Callable[..., None], trace: Path, monkeypatch: pytest.MonkeyPatch, spf: Spf
) -> None:
    install("quiet-package", SOURCE.format(trace=str(trace)))
    install("broken-package", "import a_module_that_nobody_has")
    install("silent-package", "raise SystemExit")
    monkeypatch.setenv("SPF_DISABLED_PLUGINS", "silent-package")
    listed = spf("plugins", "list")
    assert listed.code == 0
    assert listed.err == ""
    assert state_of(listed.out, "quiet-package") == "quiet-package | 1.2 | loaded"
    assert state_of(listed.out, "silent-package").endswith("1.2 | disabled: by $SPF_DISABLED_PLUGINS")
    assert "1.2 | failed: ModuleNotFoundError" in state_of(listed.out, "broken-package")
    assert re.search(r"(?m)^\d+ of spf's own +spf +0\.1\.0 +loaded", listed.out)
    assert trace.read_text() == "imported"


ADDRESSES = "Project-URL: Issues, https://a.example/issues\nProject-URL: {label}, https://a.example/home\n"


@pytest.mark.parametrize("label", ["Homepage", "Repository", "source code"])
def test_show_says_needs_protocol_package_and_homepage(
    install: Callable[..., None], trace: Path, spf: Spf, label: str
) -> None:
    install("quiet-package", SOURCE.format(trace=str(trace)), metadata=ADDRESSES.format(label=label))
    shown = spf("plugins", "show", "quiet-loss").out
    for row in (
        r"builds +spf_core\.interfaces\.Term",
        r"needs +map, reference",
        r"package +quiet-package 1\.2",
        r"homepage +https://a\.example/home",
    ):
        assert re.search(f"(?m)^{row} *$", shown), shown


def test_a_name_that_has_moved_works_and_warns() -> None:
    read = moved("old.place", "pathlib", {"Path"}, gone_in="0.2")
    with pytest.warns(
        FutureWarning, match=r"old\.place\.Path has moved; import it from pathlib.*gone in API 0\.2"
    ):
        assert read("Path") is Path
    with pytest.raises(AttributeError, match="has no attribute 'purge'"):
        read("purge")
