"""Loading plugins: entry points of installed packages, and single files."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spf_core.errors import ConfigError, PluginError
from spf_core.plugins.discovery import load_plugins

Install = Callable[[str, str], None]

GOOD = '''
from spf_core.plugins import LossConfig
from spf_core.plugins import hookimpl

class Quiet(LossConfig):
    """A loss that is always zero."""
    name = "quiet-loss"

@hookimpl
def spf_register(register):
    register(Quiet)
'''


@pytest.fixture
def plugin_file(tmp_path: Path) -> Path:
    file = tmp_path / "my_loss.py"
    file.write_text(GOOD, encoding="utf-8")
    return file


def test_built_ins_load_without_a_complaint() -> None:
    plugins = load_plugins()
    assert plugins.broken == []
    assert {"mini", "lora-adapter", "adapter-off", "sfcm-v1", "denoising", "spf", "portraits"} <= set(
        plugins.entries
    )


def test_an_installed_package_registers_on_the_same_road_as_the_built_ins(install: Install) -> None:
    install("quiet-package", GOOD)
    entry = load_plugins().entries["quiet-loss"]
    assert (entry.provider, entry.version) == ("quiet-package", "1.2")
    assert entry.summary == "A loss that is always zero."


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_nobody_has", "ModuleNotFoundError"),
        ("raise SystemExit('I want out')", "SystemExit: I want out"),
        ("def spf_register(:", "SyntaxError"),
        (GOOD.replace("register(Quiet)", "register(1 / 0)"), "ZeroDivisionError"),
        (
            GOOD.replace("register(Quiet)", "register(int)"),
            "register subclasses of BackboneConfig, AdapterConfig",
        ),
        (GOOD.replace('name = "quiet-loss"', ""), "Quiet of 'broken-package' has no `name`"),
    ],
)
def test_a_broken_package_is_named_and_skipped_and_the_rest_works(
    install: Install, source: str, reason: str
) -> None:
    install("broken-package", source)
    plugins = load_plugins()
    (warning,) = map(str, plugins.broken)
    assert "'broken-package' is skipped" in warning
    assert reason in warning
    assert "SPF_DISABLED_PLUGINS=broken-package" in warning
    assert "\n" not in warning
    assert "denoising" in plugins.entries


def test_a_misspelt_hook_is_refused_with_a_suggestion(install: Install) -> None:
    install("typo-package", GOOD.replace("spf_register", "spf_registerr"))
    (broken,) = load_plugins().broken
    assert "unknown hook 'spf_registerr'" in broken.reason
    assert "Did you mean 'spf_register'?" in broken.reason


def test_a_hook_with_another_prefix_is_refused_when_it_is_marked(install: Install) -> None:
    install("typo-package", GOOD.replace("def spf_register", "def spf_registre"))
    (broken,) = load_plugins().broken
    assert "unknown hook 'spf_registre'" in broken.reason


def test_a_hook_without_its_decorator_is_refused(install: Install) -> None:
    install("bare-package", GOOD.replace("@hookimpl", ""))
    (broken,) = load_plugins().broken
    assert "'spf_register' lacks the decorator" in broken.reason


def test_a_hook_with_a_parameter_that_spf_does_not_give_is_refused(install: Install) -> None:
    hook = "@hookimpl\ndef spf_after_step(fit, state, default=1, **more): pass\n"
    install("asks-too-much", f"from spf_core.plugins import hookimpl\n{hook}")
    (broken,) = load_plugins().broken
    assert broken.reason == (
        "its 'spf_after_step' has a parameter 'state', which spf does not give it. It may have: fit"
    )


def test_a_duplicate_name_is_refused_naming_both_providers(install: Install) -> None:
    install("a-package", GOOD)
    install("b-package", GOOD)
    plugins = load_plugins()
    (broken,) = plugins.broken
    assert broken.provider == "b-package"
    assert "'quiet-loss' is provided by both 'a-package' and 'b-package'" in broken.reason
    assert plugins.entries["quiet-loss"].provider == "a-package"


def test_a_refused_package_leaves_nothing_behind(install: Install) -> None:
    source = (
        GOOD.replace("register(Quiet)", "register(Loud)\n    register(Quiet)")
        + "\nclass Loud(Quiet):\n    name = 'loud-loss'\n"
    )
    install("a-package", GOOD)
    install("b-package", source)
    assert "loud-loss" not in load_plugins().entries


def test_disabled_plugins_are_neither_loaded_nor_reported(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("quiet-package", GOOD)
    install("broken-package", "import a_module_that_nobody_has")
    monkeypatch.setenv("SPF_DISABLED_PLUGINS", "broken-package, quiet-package")
    plugins = load_plugins()
    assert plugins.broken == []
    assert "quiet-loss" not in plugins.entries


def test_a_file_is_a_plugin_without_packaging(plugin_file: Path) -> None:
    entry = load_plugins([plugin_file]).entries["quiet-loss"]
    assert (entry.provider, entry.version) == (str(plugin_file), "file")


def test_a_file_is_loaded_without_a_trace_beside_it(
    plugin_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = list(plugin_file.parent.iterdir())
    load_plugins([plugin_file])
    assert list(plugin_file.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_module_that_nobody_has", "ModuleNotFoundError"),
        (GOOD.replace("quiet-loss", "denoising"), "'denoising' is provided by both 'spf-losses' and"),
        (GOOD.replace("spf_register(", "spf_register_losses("), "unknown hook 'spf_register_losses'"),
    ],
)
def test_a_broken_file_is_an_error_of_one_line_that_names_it(
    plugin_file: Path, source: str, reason: str
) -> None:
    plugin_file.write_text(source, encoding="utf-8")
    with pytest.raises(PluginError) as failure:
        load_plugins([plugin_file])
    assert str(plugin_file) in str(failure.value)
    assert reason in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("name", ["missing.py", "notes.txt"])
def test_a_file_that_is_no_plugin_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("not Python", encoding="utf-8")
    with pytest.raises(PluginError, match=name):
        load_plugins([tmp_path / name])


def test_an_unknown_name_gets_a_suggestion_and_the_installed_ones() -> None:
    with pytest.raises(ConfigError) as failure:
        load_plugins().get("sfcm-v9", "control-map")
    message = str(failure.value)
    assert message.startswith(
        "no control-map named 'sfcm-v9'. Did you mean 'sfcm-v1' or 'sfcm-v2'? Installed: "
    )
    assert "uniform" in message
    assert "denoising" not in message


def test_a_name_of_another_kind_is_told_apart() -> None:
    with pytest.raises(ConfigError, match="'sfcm-v1' is a control-map, not a loss"):
        load_plugins().get("sfcm-v1", "loss")
