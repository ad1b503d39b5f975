"""The map and the metric keep their contracts and compute what they say; the command shows both."""

from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from spf_core.interfaces import Region
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.testing import TinySuite, check_control_map, check_metric, make_state, tiny_config, tiny_data
from spf_core.training.loop import train
from typer.testing import CliRunner

from spf_otsu_region import ChangeOutside, OtsuRegion
from spf_otsu_region.commands import spf_register_commands
from spf_otsu_region.region import otsu_region, otsu_threshold


def test_the_map_keeps_the_contract_of_a_control_map() -> None:
    """The checks of `spf plugins check`, five training steps among them."""
    check_control_map(OtsuRegion)


def test_the_metric_keeps_the_contract_of_a_metric() -> None:
    """The checks of `spf plugins check`."""
    check_metric(ChangeOutside)


def test_the_threshold_is_the_best_of_all_splits() -> None:
    """It maximises the variance between the two classes, as a search over every split finds."""
    values = torch.rand(3, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for row, found in zip(values, otsu_threshold(values), strict=True):
        best = max(row, key=lambda value: _between(row, value))
        assert _between(row, found) == pytest.approx(_between(row, best))


def _between(row: torch.Tensor, threshold: torch.Tensor) -> float:
    """The variance between the values above a threshold and the others."""
    high, low = row[row > threshold], row[row <= threshold]
    return float(len(high) * len(low) * (high.mean() - low.mean()).square()) if len(high) * len(low) else 0.0


def test_each_image_has_a_threshold_of_its_own() -> None:
    """Two levels are told apart however faint they are; a constant image has no region."""
    levels = torch.zeros(3, 1, 8, 8)
    levels[0, :, :2], levels[1, :, :, :4] = 1.0, 0.01
    region = otsu_region(levels, 0, 0)
    assert torch.equal(region[:2], (levels[:2] > 0).float())
    assert region[2].sum() == 0


def test_growing_adds_positions_and_a_feather_fades_around_them() -> None:
    """Both options are shares of the side; the region itself stays 1."""
    levels = torch.zeros(1, 1, 20, 20)
    levels[..., 8:12, 8:12] = 1
    grown, faded = otsu_region(levels, 0.1, 0), otsu_region(levels, 0.1, 0.1)
    assert grown.sum() == 8 * 8
    assert bool((faded[grown == 1] == 1).all())
    assert 0 < float(faded[0, 0, 10, 15]) < 1
    assert float(faded[0, 0, 10, 19]) == 0


def test_the_map_is_binary_without_a_feather() -> None:
    """It has positions of both classes on a tiny model."""
    state = make_state("sd15", OtsuRegion.needs)
    found = OtsuRegion(grow=0).build()(state)
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_a_change_is_shared_out_by_the_region() -> None:
    """A quarter of the change lies outside; nothing changed is 0, and without a region all is outside."""
    changed = np.zeros((8, 8, 3), dtype=np.uint8)
    changed[:4, 0], changed[0, 1] = 90, 0
    first, second = Image.new("RGB", (8, 8)), Image.fromarray(changed)
    outside = torch.zeros(1, 8, 8, dtype=torch.bool)
    outside[:, 3:] = True
    metric, suite = ChangeOutside().build(), TinySuite()
    region = Region(outside, outside)
    assert metric(suite, [first], [second], region, "hat").tolist() == [0.25]
    assert metric(suite, [first], [first], region, "hat").tolist() == [0]
    assert metric(suite, [first], [second], None, "hat").tolist() == [1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny model that trained with the map."""
    folder = tmp_path_factory.mktemp("runs")
    plugins: Plugins = load_plugins()
    config = tiny_config(
        plugins, control_map={"name": "otsu-region", "grow": 0}, data=str(tiny_data(folder / "data"))
    )
    train(config, folder / "run", plugins)
    return folder / "run"


def test_the_command_prints_a_table_and_writes_a_picture(run: Path, tmp_path: Path) -> None:
    """A line for each seed, and a picture with three rows."""
    app = typer.Typer()
    spf_register_commands(app)
    app.command("other")(lambda: None)  # typer runs a single command without a name
    words = ["--prompt", "a man", "--target", "wearing a hat", "--seeds", "2", "--device", "cpu"]
    command = ["otsu-region", str(run), *words, "--out", str(tmp_path / "region.png")]
    said = CliRunner().invoke(app, command, catch_exceptions=False).output.splitlines()
    assert said[0].split() == ["seed", "region", "change", "outside"]
    assert [line.split()[0] for line in said[1:3]] == ["0", "1"]
    with Image.open(tmp_path / "region.png") as picture:
        assert picture.height > picture.width
        assert picture.info["target"] == "wearing a hat"
