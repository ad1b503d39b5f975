"""`spf maps`: control maps against the true region."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spf_lab.evaluation.maps import average_precision, intersection_over_union


def test_average_precision_of_a_perfect_a_constant_and_an_inverted_map() -> None:
    inside = np.array([[True, True, False, False, False, False, False, False]])
    assert average_precision(inside.astype(float), inside)[0] == 1
    assert average_precision(np.full((1, 8), 0.3), inside)[0] == 0.25
    ranked = np.array([[0.9, 0.5, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1]])
    assert average_precision(ranked, inside)[0] == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(1 - inside.astype(float), inside)[0] == pytest.approx(0.25)
    assert np.isnan(average_precision(ranked, np.zeros((1, 8), bool))[0])


def test_intersection_over_union() -> None:
    first = np.array([[True, True, False, False], [False] * 4])
    second = np.array([[False, True, True, False], [False] * 4])
    found = intersection_over_union(first, second)
    assert found[0] == pytest.approx(1 / 3)
    assert np.isnan(found[1])


@pytest.fixture(scope="module")
def masked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of `data`, each with a mask of its upper half."""
    folder = tmp_path_factory.mktemp("masked")
    rows = []
    for line in (data / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        picture = Image.open(data / row["file_name"])
        picture.save(folder / row["file_name"])
        mask = np.zeros((picture.height, picture.width), np.uint8)
        mask[: picture.height // 2] = 255
        row["mask"] = f"mask-{row['file_name']}"
        Image.fromarray(mask).save(folder / row["mask"])
        rows.append(json.dumps(row))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def run(spf, masked: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    trained = spf("train", "--data", masked, "--preset", "lora", "--out", out, "--steps", 2, *tiny)
    assert trained.code == 0, trained.err
    return out


def test_every_map_is_scored_and_drawn(spf, run: Path, tmp_path: Path) -> None:
    told = spf("maps", run, "--out", tmp_path / "maps")
    assert told.code == 0, told.err
    written = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert set(written["maps"]) == {"sfcm-v1", "sfcm-v2", "sfcm-counterfactual", "target-attention"}
    for found in written["maps"].values():
        assert 0 < found["average_precision"]["value"] <= 1
        assert found["chance"]["value"] == 0.5
        assert len(found["average_precision_by_level"]) == 5
    assert Image.open(tmp_path / "maps" / "maps.png").width > 400
    assert "sfcm-v2" in told.out


def test_the_masks_themselves_are_perfect(spf, run: Path, tmp_path: Path) -> None:
    spf("maps", run, "--map", "mask", "--map", "uniform", "--out", tmp_path / "maps")
    found = json.loads((tmp_path / "maps" / "maps.json").read_text())["maps"]
    assert found["mask"]["average_precision"]["value"] == found["mask"]["iou"]["value"] == 1
    assert found["uniform"]["average_precision"]["value"] == found["uniform"]["chance"]["value"]


def test_a_folder_without_masks_is_refused(spf, run: Path, data: Path, tmp_path: Path) -> None:
    told = spf("maps", run, "--data", data, "--out", tmp_path / "maps")
    assert told.code == 2
    assert "has no mask" in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert not (tmp_path / "maps").exists()


def test_an_unknown_map_is_refused(spf, run: Path, tmp_path: Path) -> None:
    told = spf("maps", run, "--map", "sfcm-v3", "--out", tmp_path / "maps")
    assert told.code == 2
    assert "sfcm-v" in told.err
