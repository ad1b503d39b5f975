"""Plugins that misbehave while they are imported, registered or described: skipped whole, and named once."""

import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from spf_core.config import loading as config
from spf_core.config.loading import load_run_config
from spf_core.errors import PluginError
from spf_core.plugins import discovery as plugins
from spf_core.plugins.discovery import Plugins, load_plugins

Install = Callable[..., None]

GOOD = '''
from spf_core.plugins import LossConfig, PresetConfig
from spf_core.plugins import hookimpl

class Mine(LossConfig):
    """A loss of mine."""
    name = "mine"

@hookimpl
def spf_register(register):
    register(Mine)
'''
NASTY = """
class Nasty(BaseException):
    def __str__(self):
        raise KeyboardInterrupt
    __repr__ = __str__
"""


def skipped(reason: str, provider: str = "bad-package") -> Plugins:
    """What loads beside the one package that does not, for this reason."""
    found = load_plugins()
    (broken,) = found.broken
    line = str(broken)
    assert line.startswith(f"plugin '{provider}' is skipped: ")
    assert reason in line
    assert f"SPF_DISABLED_PLUGINS={provider}" in line
    assert "\n" not in line
    assert {"mini", "lora-adapter", "denoising"} <= set(found.entries)
    assert "mine" not in found.entries
    return found


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise KeyboardInterrupt",
            "KeyboardInterrupt: it interrupted spf, as Ctrl-C does. See bad_package.py, line 1",
        ),
        ("raise GeneratorExit('out')", "GeneratorExit: out"),
        ("raise StopIteration('out')", "StopIteration: out"),
        (f"{NASTY}\nraise Nasty", "Nasty: it cannot say why"),
        ("def again(): again()\nagain()", "RecursionError"),
        ("raise ValueError('a\\nb' * 4000)", "ValueError: a ba b"),
        (GOOD.replace("register(Mine)", "return [Mine]"), "'spf_register' returns [<class"),
        (
            GOOD.replace("register(Mine)", "register(7)"),
            "registers 7, which is no config class; register subclasses of",
        ),
        (GOOD.replace("register(Mine)", "register([Mine])"), "register subclasses of BackboneConfig"),
        (GOOD.replace("register(Mine)", "register(Mine)\n    register(Mine)"), "registers 'mine' twice"),
        (
            GOOD.replace("    register(Mine)", "    while True: register(Mine)"),
            "registers more than 1000 config classes",
        ),
        (GOOD.replace("    register(Mine)", "    raise KeyboardInterrupt"), "KeyboardInterrupt"),
        ("import math", "it has no hook"),
    ],
)
def test_whatever_a_package_raises_or_returns_when_it_loads_is_told_in_one_line(
    install: Install, source: str, reason: str
) -> None:
    install("bad-package", source)
    skipped(reason)


@pytest.mark.parametrize(
    "name", ["7", "None", "b'mine'", "'Mine'", "'my_loss'", "'my loss'", "'-mine'", "'mine\\n'"]
)
def test_a_name_is_a_kebab_case_string(install: Install, name: str) -> None:
    install("bad-package", GOOD.replace('"mine"', name))
    skipped("give it one in kebab case, as in name = 'my-loss'")


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        (
            'frozenset({"refrence"})',
            "'mine' needs 'refrence', which does not exist. Did you mean 'reference'?",
        ),
        ("frozenset({7})", "'mine' needs 7, which does not exist"),
        ('"map"', "`needs` of 'mine' is 'map'; set it to a frozenset"),
        ("None", "`needs` of 'mine' is None; set it to a frozenset"),
    ],
)
def test_needs_are_a_frozenset_of_what_there_is(install: Install, needs: str, reason: str) -> None:
    install("bad-package", GOOD.replace('name = "mine"', f'name = "mine"\n    needs = {needs}'))
    skipped(reason)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('kind = "metric"', "says that its kind is 'metric', but LossConfig makes it a loss"),
        ("share: object = Field(default_factory=lambda: 1 / 0)", "ZeroDivisionError"),
        ("call: Callable[[], int] = Field(lambda: 1)", "PydanticInvalidForJsonSchema"),
        ("share: object = Nasty()", "KeyboardInterrupt"),
    ],
)
def test_what_cannot_be_described_is_skipped_before_anybody_asks(
    install: Install, more: str, reason: str
) -> None:
    source = "from collections.abc import Callable\nfrom pydantic import Field\n" + NASTY + GOOD
    install("bad-package", source.replace('name = "mine"', f'name = "mine"\n    {more}'))
    skipped(reason)


@pytest.mark.parametrize("settings", ["7", "[1]", "{1: 2}", "{'train': object()}"])
def test_the_settings_of_a_preset_are_a_mapping_that_a_file_could_hold(
    install: Install, settings: str
) -> None:
    source = GOOD.replace("LossConfig):", "PresetConfig):").replace("loss_terms", "presets")
    install("bad-package", source.replace('name = "mine"', f'name = "mine"\n    settings = {settings}'))
    skipped("`settings` of preset 'mine'")


@pytest.mark.parametrize(
    "declared", ["weight: str = 'heavy'", "weight: float = 'heavy'", "stop: float = 2.0", "start: list = []"]
)
def test_an_option_of_every_loss_keeps_its_type_and_range(install: Install, declared: str) -> None:
    install("bad-package", GOOD.replace('name = "mine"', f'name = "mine"\n    {declared}'))
    skipped(f"option '{declared.partition(':')[0]}' of 'mine' is ")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("share: float = Field(2.0, le=1)", "option 'share' of 'mine' is 2.0 by default, which its own type"),
        ("mode: Literal['a', 'b'] = 'c'", "(Input should be 'a' or 'b'); give it a default"),
        ("path: Annotated[int, Field(gt=0)] | None = 0", "option 'path' of 'mine' is 0 by default"),
    ],
)
def test_a_default_is_one_that_a_user_may_set(install: Install, declared: str, reason: str) -> None:
    imports = "from typing import Annotated, Literal\nfrom pydantic import Field\n"
    install("bad-package", imports + GOOD.replace('name = "mine"\n', f'name = "mine"\n    {declared}\n'))
    skipped(reason)


@pytest.mark.parametrize("place", ["at import", "in the hook", "in a loop"])
def test_a_plugin_that_never_ends_is_skipped_after_a_while(
    install: Install, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(plugins, "SECONDS", 0.2)
    endless = {
        "at import": GOOD + "\nwhile True: pass",
        "in the hook": GOOD.replace("    register(Mine)", "    import time\n    time.sleep(1e6)"),
        "in a loop": GOOD.replace(
            "    register(Mine)",
            "    while True:\n        try: register(Mine)\n        except Exception: pass",
        ),
    }
    monkeypatch.setattr(plugins, "MOST", 10**15)
    install("bad-package", endless[place])
    skipped("within 0.2 seconds; import what is heavy inside build(). See bad_package.py, line ")


def test_a_slow_import_of_another_package_is_not_torn_apart(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "SECONDS", 0.05)
    (tmp_path / "site" / "slow_library.py").write_text("import time\ntime.sleep(0.3)\nvalue = 7\n")
    install("good-package", "import slow_library\n" + GOOD)
    found = load_plugins()
    assert "mine" in found.entries
    assert sys.modules.pop("slow_library").value == 7


def test_ctrl_c_while_a_plugin_loads_ends_the_command_all_the_same(install: Install) -> None:
    pressed = "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: pass\n"
    for number, more in enumerate(("", "raise ValueError('because of that')\n")):
        install(f"bad-{number}", pressed + more + GOOD)
        with pytest.raises(KeyboardInterrupt):
            load_plugins()
        sys.modules.pop(f"bad_{number}", None)
        (Path(sys.path[0]) / f"bad_{number}-1.2.dist-info" / "entry_points.txt").write_text("")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_spf_keeps_its_names_and_the_first_of_two_strangers_keeps_its_own(install: Install) -> None:
    install("a-package", GOOD.replace('"mine"', '"lora-adapter"'))
    install("b-package", GOOD)
    install("c-package", GOOD)
    found = load_plugins()
    assert [broken.provider for broken in found.broken] == ["a-package", "c-package"]
    assert "spf's own keep their names" in found.broken[0].reason
    assert found.entries["lora-adapter"].provider == "spf-adapters"
    assert found.entries["mine"].provider == "b-package"


def test_a_package_whose_metadata_is_garbage_is_named(install: Install) -> None:
    install("bad-package", GOOD, b"\xff\xfe[spf]")
    skipped("its metadata cannot be read", "bad_package-1.2.dist-info")


def test_loading_changes_nothing_of_the_process(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "loud-package",
        "import os, random, signal, warnings, torch, numpy\n"
        f"os.chdir({str(tmp_path)!r})\nrandom.seed(7)\nnumpy.random.seed(7)\ntorch.manual_seed(7)\n"
        "torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)\n"
        "warnings.simplefilter('error')\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print('hello')\n" + GOOD,
    )
    import torch

    before = Path.cwd(), random.getstate(), torch.get_rng_state().tolist(), list(warnings.filters)
    assert "mine" in load_plugins().entries
    assert (Path.cwd(), random.getstate(), torch.get_rng_state().tolist(), list(warnings.filters)) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "hello\n")


def test_plugins_load_in_other_threads_too(install: Install) -> None:
    install("bad-package", "raise KeyboardInterrupt")
    found: list[Plugins] = []
    thread = threading.Thread(target=lambda: found.append(load_plugins()))
    thread.start()
    thread.join()
    assert [broken.provider for broken in found[0].broken] == ["bad-package"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise KeyboardInterrupt",
            "KeyboardInterrupt: it interrupted spf, as Ctrl-C does. See mine.py, line 1",
        ),
        (f"{NASTY}\nraise Nasty", "Nasty: it cannot say why"),
        (GOOD.replace('"mine"', "7"), "Mine of '"),
        ("x = 1", "it has no hook"),
    ],
)
def test_a_file_that_misbehaves_is_an_error_that_names_it(tmp_path: Path, source: str, reason: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    with pytest.raises(PluginError) as caught:
        load_plugins([file])
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            "    @model_validator(mode='after')\n    def _check(self): raise RuntimeError('no licence')\n",
            "cannot read its options: RuntimeError: no licence. See mine.py, line ",
        ),
        (
            "    def model_dump(self, **_): raise KeyboardInterrupt\n",
            "cannot read its options: KeyboardInterrupt",
        ),
        (
            "    @model_validator(mode='after')\n    def _check(self):\n        while True: pass\n",
            "cannot read its options: it did not come to an end within 0.5 seconds",
        ),
    ],
)
def test_options_that_cannot_be_read_name_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, reason: str
) -> None:
    monkeypatch.setattr(config, "SECONDS", 0.5)
    file = tmp_path / "mine.py"
    source = "from pydantic import model_validator\n" + GOOD
    file.write_text(source.replace('    name = "mine"\n', f'    name = "mine"\n{more}'))
    with pytest.raises(PluginError) as caught:
        load_run_config(load_plugins([file]), chosen=["mine"])
    assert str(caught.value).startswith(f"loss 'mine' of plugin file '{file}' {reason}")
