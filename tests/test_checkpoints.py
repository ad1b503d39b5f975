"""Checkpoints: training skips or refuses damaged ones, and never mistakes them for intact ones."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from test_trainer import config_of, same, weights

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import rows_of
from spf_core.runs.checkpoint import checkpoint_folder, checkpoints
from spf_core.training.loop import train
from spf_core.training.trainer import Trainer
from spf_core.utils.progress import silent

NEWEST, OLDER = "step-000004", "step-000002"
FILES = ("adapter.safetensors", "optimizer.safetensors", "parts.safetensors", "state.json")
TENSORS = FILES[:3]
Damage = Callable[[Path], None]
Change = Callable[[dict[str, torch.Tensor], dict[str, str]], None]


@pytest.fixture(scope="module")
def config(plugins: Plugins, tiny_folder: Path, data: Path) -> RunConfig:
    every = ("checkpoint.every=2", "checkpoint.keep=9", "train.ema_decay=0.9")
    return config_of(plugins, tiny_folder, data, *every, preset="lora", steps=4)


@pytest.fixture(scope="module")
def finished(config: RunConfig, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    train(config, run, plugins)
    return run


@pytest.fixture(scope="module")
def trainer(config: RunConfig, finished: Path) -> Trainer:
    return Trainer(config, finished, rows_of(config.preparation), silent)


@pytest.fixture
def run(trainer: Trainer, finished: Path, tmp_path: Path) -> Path:
    """A copy of the run, which the trainer resumes."""
    trainer.run = tmp_path / "run"
    trainer.step = 0
    shutil.copytree(finished / "checkpoints", trainer.run / "checkpoints")
    return trainer.run


def in_file(name: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes())) and None


def without(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def as_folder(name: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def of_the_older(name: str) -> Damage:
    return lambda folder: shutil.copy(folder.with_name(OLDER) / name, folder / name) and None


def swapped(one: str, other: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / one).rename(folder / "kept")
        (folder / other).rename(folder / one)
        (folder / "kept").rename(folder / other)

    return damage


def in_tensors(name: str, change: Callable[[dict[str, torch.Tensor], dict[str, str]], None]) -> Damage:
    """A whole safetensors file with other content."""

    def damage(folder: Path) -> None:
        with safe_open(folder / name, "pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
        metadata = dict(metadata or {})
        change(tensors, metadata)
        save_file(tensors, folder / name, metadata)

    return damage


def last_byte(old: bytes) -> bytes:
    return old[:-1] + bytes([old[-1] ^ 1])


def last(tensors: dict[str, torch.Tensor]) -> str:
    return max(tensors, key=lambda name: (tensors[name].ndim, name))


def filled(value: float) -> Change:
    def change(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
        tensors[last(tensors)].fill_(value)

    return change


def cut(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors[last(tensors)] = tensors[last(tensors)][:1].contiguous()


def flat(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors[last(tensors)] = tensors[last(tensors)].flatten()[:3].contiguous()


def whole_numbers(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors[last(tensors)] = tensors[last(tensors)].long()


def lacking(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    del tensors[last(tensors)]


def none(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors.clear()


def surplus(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors["99999.surplus"] = torch.zeros(2)


def renamed(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors["other"] = tensors.pop(last(tensors))


def in_state(**values: Any) -> Damage:
    """Other values in state.json; keys with two underscores lead into what a key holds."""

    def damage(folder: Path) -> None:
        file = folder / "state.json"
        state = json.loads(file.read_text())
        for path, value in values.items():
            *parents, key = path.split("__")
            place = state
            for parent in parents:
                place = place[int(parent) if parent.isdigit() else parent]
            place[key] = value
        file.write_text(json.dumps(state))

    return damage


def lacking_in_state(key: str) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / "state.json"
        state = json.loads(file.read_text())
        del state[key]
        file.write_text(json.dumps(state))

    return damage


def of_an_older_version(folder: Path) -> None:
    """What checkpoints were before they said what their files must be."""
    file = folder / "state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps({key: state[key] for key in state.keys() - {"files", "sha256", "length"}}))


STRANGE: tuple[Any, ...] = (None, True, "x", -1, 5, [], {"a": None}, 10**400, float("nan"))
BROKEN_JSON = ("", "null", "[]", "3", "[" * 100_000, '"', "{", "9" * 9999, "\\ud800")


def strange(*keys: str, fine: tuple[Any, ...] = ()) -> dict[str, Damage]:
    """Every strange value under every key of state.json."""
    return {
        f"{key} is {str(value)[:9]}": in_state(**{key: value})
        for key in keys
        for value in STRANGE
        if value not in fine
    }


def every(files: tuple[str, ...], what: str, damage: Callable[[str], Damage]) -> dict[str, Damage]:
    return {f"{name} {what}": damage(name) for name in files}


def tensors(what: str, change: Change) -> dict[str, Damage]:
    return every(TENSORS, what, lambda name: in_tensors(name, change))


def as_text(text: str) -> Damage:
    return in_file("state.json", lambda old: text.encode())


FILE_BY_FILE: dict[str, Damage] = {
    **every(FILES, "is empty", lambda name: in_file(name, lambda old: b"")),
    **every(FILES, "is cut", lambda name: in_file(name, lambda old: old[: len(old) // 2])),
    **every(FILES, "is garbage", lambda name: in_file(name, lambda old: b"\xff" * 300)),
    **every(FILES, "is a folder", as_folder),
    **every(FILES, "is gone", without),
    **tensors("lacks a tensor", lacking),
    **tensors("has no tensor", none),
    **tensors("has a surplus tensor", surplus),
    **tensors("has a renamed tensor", renamed),
    **tensors("has a shorter tensor", cut),
    **tensors("has a flat tensor", flat),
    **tensors("holds NaN", filled(float("nan"))),
    **tensors("holds infinity", filled(float("inf"))),
    "the adapter has whole numbers": in_tensors("adapter.safetensors", whole_numbers),
    "the adapter says nothing of itself": in_tensors("adapter.safetensors", lambda _, known: known.clear()),
    "the adapter is of another step": of_the_older("adapter.safetensors"),
    "the counters are of another step": of_the_older("state.json"),
    "adapter and optimizer are swapped": swapped("adapter.safetensors", "optimizer.safetensors"),
    "parts and optimizer are swapped": swapped("parts.safetensors", "optimizer.safetensors"),
    **{f"state.json is {text[:9]!r}": as_text(text) for text in BROKEN_JSON},
}
# What can be told without hashes, as in checkpoints of older versions.
STRUCTURAL: dict[str, Damage] = {
    **FILE_BY_FILE,
    **strange("step", "scheduler", "param_groups", "scheduler__last_epoch", "scheduler__base_lrs"),
    **strange("param_groups__0__params", "param_groups__0__betas"),
    **strange("param_groups__0__initial_lr", fine=(-1, 5)),
    **strange("scaler", fine=(None,)),
    **strange("numbers"),
    **{f"{key} is gone": lacking_in_state(key) for key in ("step", "scheduler", "param_groups")},
}
HASHED: dict[str, Damage] = {
    **every(TENSORS, "has another byte", lambda name: in_file(name, last_byte)),
    **every(FILES, "is that of another step", of_the_older),
    **tensors("holds other values", filled(0.5)),
    **strange("files", "sha256", "length", "param_groups__0__lr"),
    "a hash is missing": lacking_in_state("sha256"),
    "the hashes are missing": lacking_in_state("files"),
}
DAMAGES = FILE_BY_FILE | {f"by its hash: {name}": damage for name, damage in HASHED.items()}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(
    trainer: Trainer, run: Path, caplog: pytest.LogCaptureFixture, damage: Damage
) -> None:
    damage(run / "checkpoints" / NEWEST)
    trainer.resume()
    assert trainer.step == 2
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert NEWEST in warning
    assert "resumes from step 2" in warning
    assert len(warning) < 600
    assert [path.name for path in checkpoints(run)] == [OLDER], "the place of the damaged one is free"
    assert (run / "checkpoints" / f"damaged-{NEWEST}").is_dir(), "nothing is deleted"


@pytest.mark.parametrize("damage", STRUCTURAL.values(), ids=STRUCTURAL)
def test_without_hashes_the_files_are_checked_against_each_other(
    trainer: Trainer, run: Path, damage: Damage
) -> None:
    of_an_older_version(run / "checkpoints" / NEWEST)
    damage(run / "checkpoints" / NEWEST)
    trainer.resume()
    assert trainer.step == 2


def test_a_checkpoint_of_an_older_version_is_read(trainer: Trainer, run: Path) -> None:
    of_an_older_version(run / "checkpoints" / NEWEST)
    trainer.resume()
    assert trainer.step == 4


def test_without_an_intact_checkpoint_a_run_is_refused_and_left_as_it_is(trainer: Trainer, run: Path) -> None:
    for name in (NEWEST, OLDER):
        without("optimizer.safetensors")(run / "checkpoints" / name)
    why = r"no checkpoint in .* is intact \(step-000004: optimizer.safetensors is missing; step-000002"
    with pytest.raises(RunError, match=why):
        trainer.resume()
    assert [path.name for path in checkpoints(run)] == [OLDER, NEWEST]


def test_a_run_that_passed_a_checkpoint_over_ends_with_the_same_weights(
    config: RunConfig, plugins: Plugins, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    in_tensors("optimizer.safetensors", none)(run / "checkpoints" / NEWEST)
    (run / "adapter.safetensors").unlink()
    train(config, run, plugins, resume=True)
    assert same(weights(run), weights(finished))
    assert [path.name for path in checkpoints(run)] == [OLDER, NEWEST]


def test_steps_sort_as_numbers_and_other_names_are_no_checkpoints(trainer: Trainer, run: Path) -> None:
    folder = run / "checkpoints"
    for name in ("step-x", "step-", "step-999999x", "step--5", "step-12.5"):
        (folder / name).mkdir()
    (folder / "step-000009").write_text("a file")
    for step in (1000000, 999999):
        checkpoint_folder(run, step).mkdir()
    assert [path.name for path in checkpoints(run)] == [OLDER, NEWEST, "step-999999", "step-1000000"]
    trainer.resume()
    assert trainer.step == 4
