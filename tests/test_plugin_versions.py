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


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table breaks a line."""
    monkeypatch.setenv("COLUMNS", "300")


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


BOTH = "[spf]\n{name} = {module}\n[spf.commands]\n{name}{commands} = {module}\n"
WITH_COMMANDS = SOURCE.replace(
    "@hookimpl",
    """
@hookimpl
def spf_register_commands(app):
    app.command("quiet-command")(lambda: print("hush"))

@hookimpl""",
)


def install_both(
    install: Callable[..., None], name: str, source: str, trace: Path, commands: str = ""
) -> None:
    """A package with components and commands, which come from one module."""
    points = BOTH.format(name=name, module=name.replace("-", "_"), commands=commands)
    install(name, source.format(trace=str(trace)), entry_points=points.encode())


@pytest.mark.parametrize("commands", ["", "-commands"])
def test_a_package_that_fails_is_imported_once_for_its_components_and_commands_and_told_once(
    install: Callable[..., None], trace: Path, spf: Spf, commands: str
) -> None:
    failing = SOURCE.replace("class Quiet", "import a_module_that_nobody_has\n\nclass Quiet")
    install_both(install, "broken-package", failing, trace, commands)
    shown = spf("plugins", "show", "denoising")
    assert shown.code == 0
    assert trace.read_text() == "imported"
    assert shown.err.count("\n") == 1
    assert f"plugin 'broken-package{commands}' is skipped: ModuleNotFoundError" in shown.err
    listed = spf("plugins", "list")
    assert trace.read_text() == "imported" * 2
    assert listed.err.count("\n") == 1
    assert listed.out.count("failed: ModuleNotFoundError: No module named 'a_module_that_nobody_has'") == 1


def test_a_package_that_works_is_imported_once_for_its_components_and_commands(
    install: Callable[..., None], trace: Path, spf: Spf
) -> None:
    install_both(install, "quiet-package", WITH_COMMANDS, trace)
    listed = spf("plugins", "list")
    assert listed.err == ""
    assert state_of(listed.out, "quiet-package") == "quiet-package | 1.2 | loaded"
    assert trace.read_text() == "imported"
    assert spf("quiet-command").out == "hush\n"


def test_a_module_that_fails_is_run_again_once_it_is_mended(
    tmp_path: Path, install: Callable[..., None]
) -> None:
    install("quiet-package", "import a_module_that_nobody_has")
    assert len(load_plugins().broken) == 1
    (tmp_path / "site" / "a_module_that_nobody_has.py").touch()
    (tmp_path / "site" / "quiet_package.py").write_text(SOURCE.format(trace=str(tmp_path / "trace")) + " ")
    assert load_plugins().broken == []


def test_list_tells_packages_with_components_and_commands_that_are_loaded_disabled_and_failed(
    install: Callable[..., None], trace: Path, monkeypatch: pytest.MonkeyPatch, spf: Spf
) -> None:
    failing = SOURCE.replace("from pathlib", "1 / 0\nfrom pathlib")
    install_both(install, "loaded-package", WITH_COMMANDS, trace)
    install_both(install, "disabled-package", failing, trace)
    install_both(install, "failed-package", failing, trace)
    monkeypatch.setenv("SPF_DISABLED_PLUGINS", "disabled-package")
    listed = spf("plugins", "list")
    assert listed.code == 0
    assert state_of(listed.out, "loaded-package") == "loaded-package | 1.2 | loaded"
    assert state_of(listed.out, "disabled-package").endswith("1.2 | disabled: by $SPF_DISABLED_PLUGINS")
    assert "1.2 | failed: ZeroDivisionError: division by zero" in state_of(listed.out, "failed-package")
    assert "disabled-package" not in listed.err
    assert listed.err.count("failed-package") == 2, "one line, with the way to silence it"


@pytest.mark.parametrize("state", ["loaded", "disabled", "failed"])
def test_list_tells_the_state_of_a_package_that_brings_commands_alone(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, spf: Spf, state: str
) -> None:
    source = "from spf_core.plugins import hookimpl\n\n@hookimpl\ndef spf_register_commands(app):\n    {}\n"
    points = b"[spf.commands]\nof-commands = of_commands\n"
    install("of-commands", source.format("1 / 0" if state == "failed" else "pass"), entry_points=points)
    monkeypatch.setenv("SPF_DISABLED_PLUGINS", "of-commands" if state == "disabled" else "")
    assert f"of-commands | 1.2 | {state}" in state_of(spf("plugins", "list").out, "of-commands")


def test_list_tells_where_components_are_loaded_and_the_commands_fail(
    install: Callable[..., None], trace: Path, spf: Spf
) -> None:
    failing = WITH_COMMANDS.replace('app.command("quiet-command")', "int('x') or app.command('x')")
    install_both(install, "half-package", failing, trace)
    listed = spf("plugins", "list").out
    assert re.search(r"(?m)^half-package +half-package +1\.2 +loaded *$", listed)
    assert "commands failed: spf_register_commands of plugin 'half-package' failed: ValueError" in listed


COMMANDS_ALONE = b"[spf.commands]\nof-commands = of_commands\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "@hookimpl\ndef spf_register_commands(app):\n    app.command('train')(print)",
            "there is a command 'train'",
        ),
        (
            "@hookimpl\ndef spf_register_commands(app):\n    app.command()(data)\ndef data(): pass",
            "a command 'data'",
        ),
        (
            "def spf_register_commands(app): pass",
            "its 'spf_register_commands' lacks the decorator; write",
        ),
        (
            "@hookimpl\ndef spf_register_command(app): pass",
            "it has no function spf_register_commands; write one",
        ),
    ],
)
def test_commands_that_cannot_be_added_are_skipped_with_the_reason(
    install: Callable[..., None], spf: Spf, source: str, reason: str
) -> None:
    install(
        "of-commands", f"from spf_core.plugins import hookimpl\n\n{source}\n", entry_points=COMMANDS_ALONE
    )
    helped = spf("train", "--help")
    assert helped.code == 0
    assert "Train an adapter on one attribute" in helped.out
    assert "plugin 'of-commands' is skipped" in helped.err
    assert reason in helped.err


def test_a_command_of_others_that_fails_is_named(install: Callable[..., None], spf: Spf) -> None:
    source = "def spf_register_commands(app):\n    app.command('peek')(peek)\ndef peek(): 1 / 0\n"
    install(
        "of-commands",
        f"from spf_core.plugins import hookimpl\n@hookimpl\n{source}",
        entry_points=COMMANDS_ALONE,
    )
    failed = (
        "plugin 'of-commands' 1.2 failed: ZeroDivisionError: division by zero. See of_commands.py, line 5"
    )
    assert spf("peek").fails_with(failed)


def test_a_hook_without_its_decorator_is_not_left_out_in_silence(
    install: Callable[..., None], spf: Spf
) -> None:
    install("bare", f"{SOURCE.format(trace='/dev/null')}\ndef spf_after_step(fit): pass\n")
    assert "its 'spf_after_step' lacks the decorator; write" in spf("plugins", "list").out


@pytest.fixture
def file(tmp_path: Path, trace: Path) -> Path:
    """A plugin file, to be given a range."""
    file = tmp_path / "quiet_file.py"
    file.write_text(SOURCE.format(trace=str(trace)), encoding="utf-8")
    return file


@pytest.mark.parametrize("line", ['SPF_API = ">=0.1,<0.2"', 'SPF_API: str = ">=0.1.0"'])
def test_a_file_for_this_spf_is_loaded(file: Path, line: str) -> None:
    file.write_text(f"{line}\n{file.read_text()}")
    assert "quiet-loss" in load_plugins([file]).entries


def test_list_and_show_say_which_spf_a_file_is_made_for(file: Path, spf: Spf) -> None:
    file.write_text(f'SPF_API = ">=0.1,<0.2"\n{file.read_text()}')
    listed = spf("plugins", "list", "--plugin", file)
    assert re.search(r"a file +loaded, made for spf>=0\.1,<0\.2 *$", listed.out, re.MULTILINE)
    assert re.search(r"made for +spf>=0\.1,<0\.2", spf("plugins", "show", "quiet-loss", "--plugin", file).out)


@pytest.mark.parametrize("range_", [">=0.2", "<0.1", "==0.0.*"])
@pytest.mark.parametrize("command", [("list", "--plugin"), ("check",)])
def test_a_file_for_another_spf_is_refused_before_it_is_run(
    file: Path, trace: Path, spf: Spf, range_: str, command: tuple[str, ...]
) -> None:
    file.write_text(f'import not_in_this_spf\n\nSPF_API = "{range_}"\n{file.read_text()}')
    refused = spf("plugins", *command, file)
    assert refused.fails_with(
        f"plugin file '{file}' cannot be used", f"made for spf{range_}, and this is spf 0.1.0", "SPF_API"
    )
    assert trace.read_text() == ""


@pytest.mark.parametrize("value", ["7", "'0.1'", "'later'", "next(versions)", "None"])
def test_a_range_of_a_file_that_is_none_is_refused_with_an_example(file: Path, spf: Spf, value: str) -> None:
    file.write_text(f"{file.read_text()}\nSPF_API = {value}\n")
    refused = spf("plugins", "list", "--plugin", file)
    assert refused.fails_with(f"its SPF_API is {value}", 'as in SPF_API = ">=0.1,<0.2"')


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
