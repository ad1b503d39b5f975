"""A stranger's script sees the types of the installed packages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from pathlib import Path

import spf
from spf_core.plugins import LossConfig

run = spf.train("photos", backbone="mini")
reveal_type(run)
reveal_type(spf.sample(run, "a man"))
reveal_type([spf.sample(run, prompt) for prompt in ("a man", "a woman")])
reveal_type(spf.evaluate(run, Path("out")).results)
reveal_type(spf.export(run, "hat.safetensors").table)
spf.train("photos", step=3)


def weight(loss: LossConfig) -> float:
    reveal_type(loss.weight)
    return loss.weight
"""


@pytest.mark.slow
def test_a_script_of_a_stranger_is_checked_against_the_types_of_spf(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "script.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert re.findall(r'Revealed type is "(.+)"', said) == [
        "spf.runs.Run",
        "spf.sampling.Grid",
        "list[spf.sampling.Grid]",
        "typing.Mapping[str, Any]",
        "spf.showing.Table | None",
        "float",
    ]
    assert 'Unexpected keyword argument "step" for "train"' in said
    assert "Found 1 error" in said
