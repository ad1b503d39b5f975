"""The command line, and LoRA files of random factors for the tiny models."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    def fails_with(self, *words: str) -> bool:
        assert self.code == 2, self
        assert self.err.count("\n") == 1, self.err
        missing = [word for word in words if word not in self.err]
        assert not missing, (missing, self.err)
        return True


Spf = Callable[..., Outcome]


@pytest.fixture(scope="session")
def spf() -> Spf:
    from spf_cli.main import main

    def run(*args: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        return Outcome(int(stopped.value.code or 0), out.getvalue(), err.getvalue())

    return run


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPF_METRICS_HOME", raising=False)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="session")
def files(tiny_folder: Path, tiny_xl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sd15.safetensors` and `sdxl.safetensors`, in kohya's keys."""
    from lora_files import backbone_of, flat, kohya, random_factors, written

    folder = tmp_path_factory.mktemp("files")
    for name, place in (("sd15", tiny_folder), ("sdxl", tiny_xl_folder)):
        two = name == "sdxl"
        tensors = kohya(random_factors(backbone_of(place)), lambda key, two=two: flat(key, two=two))
        written(folder / f"{name}.safetensors", tensors)
    return folder
