"""Runs of each process of test_distributed and test_sharding, in turn, and what the process wrote itself."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from spf_core.config.loading import resolve
from spf_core.plugins.discovery import load_plugins
from spf_core.training.loop import train
from spf_core.utils.distributed import is_main
from spf_core.utils.yaml_text import read_yaml


def main(jobs: Path, *files: str) -> None:
    """Train every {config, run, resume, remove} of the file, each inside its folder `runs`."""
    runs, written = str(jobs.parent / "runs"), []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime"} or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if writes and str(arguments[0]).startswith(runs):
            written.append(f"{event} {arguments[0]}")

    sys.addaudithook(watch)
    plugins = load_plugins(files)
    for job in json.loads(jobs.read_text()):
        if is_main():
            for path in map(Path, job["remove"]):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        config = resolve(read_yaml(Path(job["config"])), plugins)
        train(config, Path(job["run"]), plugins, resume=job["resume"])
        jobs.with_name(f"written-{os.environ['RANK']}.json").write_text(json.dumps(written))


main(Path(sys.argv[1]), *sys.argv[2:])
