"""`spf train` as a process of its own, stopped as the operating system stops it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints

pytestmark = pytest.mark.slow

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from spf_cli.main import main
main(sys.argv[2:])
"""


def arguments(data: Path, out: Path, tiny: list[str], *more: str) -> list[str]:
    return ["train", "--preset", "lora", "--data", str(data), "--out", str(out), *more, *tiny]


def test_ctrl_c_saves_and_the_run_resumes(spf, data: Path, tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "spf_cli", *arguments(data, run, tiny, "--steps", "300")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if ": training 30/" in line:
                break
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()[-1]
        assert process.wait() == 130
    assert last.startswith("error: interrupted; step ")
    assert last.endswith(f"Continue with: spf train --resume --out {run}")
    saved = int(checkpoints(run)[-1].name.removeprefix("step-"))
    assert 0 < saved < 300
    done = spf("train", "--resume", "--out", run)
    assert done.code == 0, done.err
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] == list(range(1, 301))
    assert (run / ADAPTER_FILE).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_file_that_cannot_be_written_leaves_nothing_half_written(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", LIMITED, "20000", *arguments(data, run, tiny, "--steps", "2")]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert list((run / "checkpoints").glob("*")) == []
    resumed = spf("train", "--resume", "--out", run)
    assert resumed.code == 0, resumed.err
