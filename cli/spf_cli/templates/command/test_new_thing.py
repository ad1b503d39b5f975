"""The command says what it should, and what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from spf_core.errors import RunError
from typer.testing import CliRunner

from spf_cli.templates.command import spf_register_commands


def invoke(*words: str) -> str:
    """What the command line shows; its other command is there as typer runs a single one without a name."""
    app = typer.Typer()
    spf_register_commands(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, list(words), catch_exceptions=False).output


def test_it_shows_the_last_step(tmp_path: Path) -> None:
    """The last line of the log is shown."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 0.5}\n')
    assert invoke("new-thing", str(tmp_path)) == "step 2: loss 0.5\n"


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """The error names the folder and the way out."""
    with pytest.raises(RunError, match="is no run folder"):
        invoke("new-thing", str(tmp_path))


def test_importing_it_imports_no_torch() -> None:
    """Every `spf --help` imports this module."""
    code = f"import sys, {spf_register_commands.__module__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
