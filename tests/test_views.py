"""Crops, mirroring and buckets: the random choices, their order, and what training makes of them."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import Row
from spf_core.preparation.views import bucket_sizes, bucket_step, nearest, with_views
from spf_core.training.row_order import Order, rows_of_step

SHAPES = ((64, 64), (80, 40), (40, 80), (64, 60))


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Four images, the first in two wordings."""
    for number, size in enumerate(SHAPES):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    texts = [(0, "a man, old"), (1, "a man"), (2, "a woman"), (3, "a child"), (0, "a man")]
    return [Row(tmp_path / f"{number}.png", text, "a hat") for number, text in texts]


def test_without_options_rows_stay_as_they_are(rows: list[Row]) -> None:
    assert with_views(rows, DatasetSection(), 64, 64, seed=0) == rows


def test_wordings_of_an_image_share_its_views_and_a_seed_fixes_them(rows: list[Row]) -> None:
    options = DatasetSection(crop="random", flip=True, views=3)
    drawn = with_views(rows, options, 64, 64, seed=5)
    assert drawn == with_views(rows, options, 64, 64, seed=5)
    assert drawn != with_views(rows, options, 64, 64, seed=6)
    views = [[row.view for row in drawn[start : start + 5]] for start in (0, 5, 10)]
    assert all(each[0] == each[4] for each in views)
    assert len({view for each in views for view in each}) == 12


def test_two_views_show_an_image_both_ways_round(rows: list[Row]) -> None:
    drawn = with_views(rows, DatasetSection(flip=True, views=2), 64, 64, seed=0)
    assert all(drawn[row].view.flip != drawn[row + 5].view.flip for row in range(5))
    assert {row.view.x for row in drawn} == {0.5}


@pytest.mark.parametrize(
    ("side", "factor", "step", "some"),
    [
        (512, 8, 64, [(512, 512), (384, 640), (768, 320), (256, 1024)]),
        (1024, 8, 64, [(1024, 1024), (832, 1216), (1152, 896), (2048, 512)]),
        (64, 4, 16, [(64, 64), (48, 80), (80, 48)]),
        (32, 4, 8, [(32, 32), (24, 40), (40, 24)]),
    ],
)
def test_buckets_have_about_the_model_s_area(
    side: int, factor: int, step: int, some: list[tuple[int, int]]
) -> None:
    assert bucket_step(side, factor) == step
    found = bucket_sizes(side, step)
    assert set(some) <= set(found)
    assert all(width % step == height % step == 0 for width, height in found)
    assert all(width * height <= side * side for width, height in found)
    assert nearest((3000, 3000), found) == (side, side)


def test_an_image_goes_to_the_bucket_of_its_shape(rows: list[Row]) -> None:
    drawn = with_views(rows, DatasetSection(buckets=True), 32, 8, seed=0)
    assert [row.view.size for row in drawn] == [(32, 32), (40, 24), (24, 40), (32, 32), (32, 32)]


def test_one_bucket_is_read_as_ever() -> None:
    order = Order([list(range(7))], 3, seed=4)
    assert [order.rows(step) for step in range(20)] == [rows_of_step(step, 3, 7, 4) for step in range(20)]


def test_a_batch_holds_one_bucket_and_all_rows_are_read_equally_often() -> None:
    buckets = [[0, 3, 4], [1], [2, 5, 5, 5]]  # row 5 repeats
    order = Order(buckets, 2, seed=1)
    batches = [order.rows(step) for step in range(8 * 6)]
    assert all(any(set(batch) <= set(bucket) for bucket in buckets) for batch in batches)
    assert Counter(row for batch in batches for row in batch) == {0: 12, 1: 12, 2: 12, 3: 12, 4: 12, 5: 36}
    assert batches[17] == Order(buckets, 2, seed=1).rows(17)
    assert batches != [Order(buckets, 2, seed=2).rows(step) for step in range(48)]
    assert (
        len({tuple(bucket_of(batch, buckets) for batch in batches[at : at + 8]) for at in range(0, 48, 8)})
        > 1
    )


def bucket_of(batch: list[int], buckets: list[list[int]]) -> int:
    return next(number for number, bucket in enumerate(buckets) if batch[0] in bucket)
