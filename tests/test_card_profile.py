"""Settings that fit a card: what is given up first, what stays, and what a user reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_trainer import noise_folder

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.training.resources.card_profile import GIB, Search, fit

Resolve = Callable[[dict[str, Any]], RunConfig]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def resolving(plugins: Plugins, tiny_folder: Path, pictures: Path) -> Callable[..., Resolve]:
    def given(*settings: str) -> Resolve:
        chosen = ["backbone.name=sd15", f"backbone.path={tiny_folder}", f"data={pictures}", *settings]
        return lambda layer: load_run_config(
            plugins, preset="lora", assignments=chosen, below=(lambda _: layer,)
        )

    return given


def given_up(config: RunConfig) -> tuple[int, bool, str, str]:
    train, backbone = config.train, config.backbone.model_dump()
    return train.batch_size, train.gradient_checkpointing, config.optimizer.name, backbone["quantize"]


def with_ever_less(search: Search) -> Iterator[RunConfig]:
    while True:
        search.budget = min(search.peaks.values()) - 1
        config = search.resolve(search.found().layer)
        assert config.train.batch_size * config.train.accumulation == 4
        yield config


@pytest.mark.slow
def test_less_memory_gives_up_time_first_and_the_base_model_last(resolving: Callable[..., Resolve]) -> None:
    pytest.importorskip("bitsandbytes")
    resolve = resolving()
    search = Search(resolve, GIB, "a test")
    found = search.found()
    config = resolve(found.layer)
    assert given_up(config) == (4, False, "adamw", "none")
    assert (config.train.accumulation, config.train.precision) == (1, "bf16")
    assert "train.gradient_checkpointing=false" in found.reasons
    assert found.reasons["train.accumulation=1"] == "a step still reads 4 rows"
    seen = list[tuple[int, bool, str, str]]()
    with pytest.raises(
        ConfigError, match=r"^--profile: nothing fits a card of a test, .* smallest estimate is"
    ):
        seen.extend(given_up(config) for config in with_ever_less(search))
    costs = [
        (("none", "int8", "nf4").index(quantize), optimizer != "adamw", checkpointing, -size)
        for size, checkpointing, optimizer, quantize in seen
    ]
    assert costs == sorted(costs), seen
    assert {quantize for *_, quantize in seen} >= {"none", "nf4"}
    assert any(checkpointing and quantize == "none" for _, checkpointing, _, quantize in seen)


def test_what_the_user_set_stays(resolving: Callable[..., Resolve]) -> None:
    mine = ("train.batch_size=3", "backbone.dtype=float32", "backbone.quantize=none")
    resolve = resolving(
        *mine, "train.gradient_checkpointing=false", "train.compile=true", "optimizer.name=adafactor"
    )
    search = Search(resolve, GIB, "a test")
    found = search.found()
    config = resolve(found.layer)
    assert given_up(config) == (3, False, "adafactor", "none")
    assert config.train.accumulation == 4, "as before"
    assert found.reasons.keys() == {"train.precision=bf16", "sample.precision=bf16"} | {
        "train.gradient_checkpointing=false"
    }
    search.budget = 10_000
    with pytest.raises(
        ConfigError, match=r"headroom: .* train\.batch_size=3, optimizer\.name=adafactor, back"
    ):
        search.found()


def test_a_library_without_which_nothing_fits_is_named(
    resolving: Callable[..., Resolve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    mine = ("train.gradient_checkpointing=false", "train.batch_size=1", "optimizer.name=adafactor")
    with pytest.raises(
        ConfigError, match=r"nothing else fits .* needs bitsandbytes, .* pip install bitsandbytes"
    ):
        fit(resolving(*mine), 10_000, "a test")


def test_a_user_reads_what_was_set_and_why(spf: Any, tiny_folder: Path, pictures: Path) -> None:
    model = (
        "--backbone",
        "sd15",
        "--set",
        f"backbone.path={tiny_folder}",
        "--data",
        pictures,
        "--preset",
        "lora",
    )
    shown = spf("config", "show", *model, "--profile", "8gb", "--set", "train.accumulation=2")
    assert shown.code == 0, shown.err
    config = yaml.safe_load(shown.out)
    assert config["train"]["precision"] == "bf16"
    assert (config["train"]["batch_size"], config["train"]["accumulation"]) == (1, 2)
    lines = shown.err.splitlines()
    assert all(line.startswith("profile: ") for line in lines), lines
    assert "profile: train.gradient_checkpointing=false: it fits without, and is faster" in lines
    assert lines[-1].endswith(", of the 7.2 GiB that 10% headroom leave of 8 GiB")


def test_a_resumed_run_keeps_its_settings(spf: Any, tmp_path: Path) -> None:
    asked = spf("train", "--resume", "--out", tmp_path / "run", "--profile", "8gb")
    assert asked.fails_with("--profile is for a new run")
