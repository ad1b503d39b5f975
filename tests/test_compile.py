"""train.compile: the graphs that torch finds in both paths compute what the modules do.

Traced by Dynamo and run by PyTorch's own kernels: generating others takes minutes on a CPU.
"""

from pathlib import Path

import pytest
import torch
from test_trainer import config_of, noise_folder, weights
from torch._dynamo.utils import counters

from spf_core.errors import ConfigError
from spf_core.plugins.discovery import load_plugins
from spf_core.training.loop import train
from spf_core.training.resources import memory_options as thrift
from spf_core.training.run_log import read_metrics


@pytest.mark.slow
def test_a_compiled_run_follows_the_same_losses(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thrift, "COMPILER", "eager")
    torch._dynamo.reset()
    plugins, data = load_plugins(), tmp_path / "data"
    data.mkdir()
    noise_folder(data)
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        at_once = [f"losses.{term}.start=0" for term in ("text-consistency", "fine-grained")]
        settings = (f"train.compile={compiled}", "response=null", *at_once)
        counters.clear()
        train(config_of(plugins, tiny_folder, data, *settings, steps=3), tmp_path / name, plugins)
    assert counters["stats"]["unique_graphs"] >= 2
    assert not counters["graph_break"]
    plain, found = (read_metrics(tmp_path / name) for name in ("plain", "compiled"))
    assert {"text-consistency", "fine-grained"} < set(found[-1]["terms"])
    for before, after in zip(plain, found, strict=True):
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-4)
        assert after["gradient_norm"] == pytest.approx(before["gradient_norm"], rel=1e-3)
    first, second = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_compiling_what_is_computed_twice_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    settings = ("train.compile=true", "train.gradient_checkpointing=true")
    with pytest.raises(ConfigError, match="compile and gradient_checkpointing exclude each other"):
        config_of(load_plugins(), tiny_folder, tmp_path, *settings)
