"""A launcher starts a script that calls the functions, as it starts the command."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from test_distributed import TORCHRUN, launch

SCRIPT = """
import json, os, sys
import spf

data, out, settings = sys.argv[1:]
run = spf.train(
    data, out + "/run", preset="lora", steps=2, settings=json.loads(settings), progress=False
)
found = spf.evaluate(
    run, out + "/evaluation", suite="portraits", target="hat", prompts=2, seeds=1, progress=False
)
print(f"process {os.environ['RANK']} read {len(run.log)} steps and {found.path.name}", flush=True)
"""


@pytest.mark.slow
def test_two_processes_train_and_evaluate_by_the_functions(
    tmp_path: Path, data: Path, settings: dict[str, Any]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = launch(TORCHRUN, script, data, tmp_path, json.dumps(settings, default=str))
    assert done.returncode == 0, done.stderr
    # Both write into one pipe, where the end of a line may come after the other's line.
    told = sorted(re.findall(r"process \d read 2 steps and evaluation", done.stdout))
    assert told == [f"process {rank} read 2 steps and evaluation" for rank in (0, 1)]
    log = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log] == [1, 2], "the main process alone writes"
    assert json.loads((tmp_path / "evaluation" / "results.json").read_text(encoding="utf-8"))
