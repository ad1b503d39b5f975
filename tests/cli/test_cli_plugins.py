"""`spf plugins`: what is installed, and the options of each component."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from installing import PLUGIN_FILES

from spf_cli.render import FOLDED, show, table
from spf_core.plugins.configs import KINDS
from spf_core.plugins.discovery import load_plugins


def test_list_names_every_component_with_kind_and_provider(spf) -> None:
    shown = spf("plugins", "list").out
    for name, entry in load_plugins().entries.items():
        line = rf"(?m)^{entry.config.kind} +{name} +.*{entry.provider} {re.escape(entry.version)} *$"
        assert re.search(line, shown), name
    assert all(kind in shown for kind in KINDS)


@pytest.mark.parametrize("name", sorted(load_plugins().entries))
def test_show_explains_every_option(spf, name: str) -> None:
    shown = spf("plugins", "show", name)
    assert shown.code == 0
    config = load_plugins().entries[name].config
    assert [option for option in config.model_fields if option not in shown.out] == []


def test_show_prints_type_default_range_and_description(spf, plugin_file: Path) -> None:
    shown = spf("plugins", "show", "pull", "--plugin", plugin_file).out
    assert re.search(r"strength +float +0\.5 +> 0 and ≤ 2 +how hard", shown)
    assert re.search(r"mode +'soft' \| 'hard' +soft", shown)
    assert "Pulls the prediction towards zero." in shown
    assert str(plugin_file) in shown


def test_show_of_a_preset_prints_its_settings(spf) -> None:
    shown = spf("plugins", "show", "naive").out
    settings = yaml.safe_load(shown[shown.index("backbone:") :])
    assert settings["adapter"] == "full-unet"


def test_an_unknown_name_lists_its_own_kind_only(spf) -> None:
    told = spf("plugins", "show", "sfcm-v9")
    assert told.fails_with("'sfcm-v9'", "Did you mean 'sfcm-v1' or 'sfcm-v2'?", "target-attention, uniform")
    assert "lora" not in told.err
    assert spf("plugins", "show", "zzzzzz").fails_with("no plugin named 'zzzzzz'; `spf plugins list`")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 / 0", ("ZeroDivisionError",)),
        ("def broken(:", ("SyntaxError",)),
        (None, ("does not exist",)),
    ],
)
def test_a_plugin_file_that_cannot_be_imported_is_one_line(
    spf, tmp_path: Path, content: str | None, words: tuple[str, ...]
) -> None:
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)
    assert spf("plugins", "list", "--plugin", file).fails_with(str(file), *words)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_name_is_never_broken(spf, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = spf("plugins", "list").out
    assert max(map(len, shown.splitlines())) <= width
    whole = set(shown.split())
    assert [name for name in load_plugins().entries if name not in whole] == []


def test_options_are_whole_in_a_narrow_terminal(spf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = spf("plugins", "show", "sfcm-counterfactual").out + spf("plugins", "show", "clip-region").out
    for name in ("sfcm-counterfactual", "max_timestep", "decode_size"):
        assert name in shown.split()


@given(
    st.integers(20, 120),
    st.lists(
        st.tuples(*[st.text("ab-_é ", max_size=40)] * 3),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=60, deadline=None)
@example(38, [("", "___", "_" * 15), (" " + "_" * 14, "", "")])  # an indented word
def test_words_stay_whole_in_every_table(width: int, rows: list[tuple[str, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        out = io.StringIO()
        with redirect_stdout(out):
            show(table("", ("x", "y", "z"), rows))
    room = width - 12
    words = {word for row in rows for cell in row for word in cell.split() if len(word) <= min(room, FOLDED)}
    assert words <= set(out.getvalue().split())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("layer", ("faulty.py' failed: ZeroDivisionError: no layers. See faulty.py, line", "report it")),
        ("disabled", ("'faulty'", "cannot be used: disabled() returns no context manager; decorate it")),
        ("parameters", ("'faulty'", "parameters() yields 'weight'; yield torch.nn.Parameters")),
    ],
)
def test_an_adapter_of_others_that_fails_is_named(
    spf, tmp_path: Path, data: Path, tiny: list[str], fault: str, words: tuple[str, ...]
) -> None:
    chosen = ("--plugin", PLUGIN_FILES / "faulty.py", "--set", f"adapter.fault={fault}")
    arguments = ("--data", data, "--out", tmp_path / "run", "--preset", "lora", "--steps", 2, *tiny)
    failed = spf("train", *arguments, *chosen)
    assert failed.code == 2
    assert all(word in failed.err.splitlines()[-1] for word in ("error: ", *words)), failed.err


def test_a_component_whose_plugin_is_skipped_says_why(spf, install: Callable[..., None]) -> None:
    install("mine", "raise ValueError('out of order')")
    failed = spf("plugins", "show", "mine")
    assert failed.code == 2
    assert "plugin 'mine' is not used, as it failed: " in failed.err.splitlines()[-1]
    assert "out of order" in failed.err.splitlines()[-1]


def test_a_plugin_without_components_is_shown(spf, install: Callable[..., None]) -> None:
    install("mine", "from spf_core.plugins import hookimpl\n@hookimpl\ndef spf_after_step(fit): pass\n")
    shown = spf("plugins", "show", "mine").out
    for row in ("package +mine 1.2", "plugin mine +loaded", "components +none", "hooks +spf_after_step"):
        assert re.search(rf"(?m)^{row} *$", shown), shown


HOOK = """
from spf_core.plugins import hookimpl

@hookimpl
def spf_after_step(fit):
    {}
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fit.step = 2", ("fit.step cannot be set", "mine.py, line 6")),
        ("fit.rows", ("Fit has no 'rows'; it has adapter, averaged,", "mine.py, line 6")),
        ("fit.track({'sharpness': 'high'}, {})", ("track() gets 'high' as 'sharpness'; give a number",)),
        ("fit.track({}, {'grid': 3})", ("track() gets 3 as picture 'grid'; give a picture of PIL",)),
    ],
)
def test_a_hook_reads_a_run_and_sets_nothing_of_it(
    spf, tmp_path: Path, data: Path, tiny: list[str], line: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(HOOK.format(line))
    arguments = ("--data", data, "--out", tmp_path / "run", "--preset", "lora", "--steps", 3, *tiny)
    failed = spf("train", *arguments, "--plugin", tmp_path / "mine.py")
    assert failed.code == 2
    assert all(word in failed.err.splitlines()[-1] for word in ("spf_after_step of plugin", *words)), (
        failed.err
    )


def test_a_term_that_lacks_its_path_is_named(spf, tmp_path: Path, data: Path, tiny: list[str]) -> None:
    arguments = ("--data", data, "--out", tmp_path / "run", "--preset", "lora", *tiny)
    refused = spf("train", *arguments, "--set", "losses.output-alignment.weight=1")
    assert refused.fails_with("loss 'output-alignment' needs the reference path, but `reference` is empty")
    without_map = ("--set", "losses.output-alignment.weight=1", "--set", "reference=adapter-off")
    assert spf("train", *arguments, *without_map).fails_with("loss 'output-alignment' reads the control map")
