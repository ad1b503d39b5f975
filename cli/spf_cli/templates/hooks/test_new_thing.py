"""The hooks note what they should while a run trains, and show it on its page."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from spf_core.plugins import Facts

from spf_cli.templates.hooks import RECORD, spf_after_step, spf_report_sections


def fit_at(step: int, run: Path, largest: float, tracked: list[Mapping[str, Any]]) -> Any:
    """A run in training whose adapter has one tensor."""
    adapter = SimpleNamespace(state_dict=lambda: {"down": torch.tensor([0.0, -largest])})

    def track(numbers: Mapping[str, Any], _: Mapping[str, Any]) -> None:
        tracked.append(numbers)

    return SimpleNamespace(step=step, run=run, adapter=adapter, track=track)


def test_each_step_is_noted_and_tracked(tmp_path: Path) -> None:
    """A line for each step, and the same number for the trackers."""
    tracked: list[Mapping[str, Any]] = []
    for step, largest in ((1, 0.5), (2, 2.0)):
        spf_after_step(fit_at(step, tmp_path, largest, tracked))
    assert (tmp_path / RECORD).read_text() == "1 0.5\n2 2\n"
    assert tracked == [{"new-thing": 0.5}, {"new-thing": 2.0}]


def test_the_page_shows_the_first_and_the_last_step(tmp_path: Path) -> None:
    """A step that a resumed run repeats counts once, with its later value."""
    (tmp_path / RECORD).write_text("1 0.5\n2 9\n2 2\n")
    (section,) = spf_report_sections(tmp_path)
    assert section.blocks[1] == Facts([("step 1", "0.5"), ("step 2", "2")])


def test_a_run_that_trained_without_the_package_has_no_section(tmp_path: Path) -> None:
    """Nothing was noted, so there is nothing to show."""
    assert spf_report_sections(tmp_path) == []


def test_importing_them_imports_no_torch() -> None:
    """Every start of spf imports this module."""
    code = f"import sys, {spf_after_step.__module__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
