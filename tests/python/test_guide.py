"""The guide "From Python", block by block, in a folder with the data that it names."""

import re
from pathlib import Path

import pytest

from spf_core.plugins.discovery import load_plugins

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "from-python.md"
SHORTER = {"steps=250": "steps=2", "prompts=20": "prompts=2", "steps=10": "steps=1", "prompts=4": "prompts=1"}


@pytest.mark.slow
def test_every_block_of_the_guide_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = load_plugins().get("portraits", "suite")().build()
    suite.write_training_set(
        tmp_path / "hat", target="hat", count=2, bias={"background": "teal"}, seed=0, size=64
    )
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    for block in blocks:
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(compile(block, str(GUIDE), "exec"), names)
    said = capsys.readouterr().out
    assert "training 1 1" in said
    assert "measure" in said
    assert "'nowhere' is not a run folder" in said
    assert (tmp_path / "hat.png").is_file()
