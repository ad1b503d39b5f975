"""Image files of every kind as training sees them, and what of them a view shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spf_core.config.sections import DatasetSection
from spf_core.data import Row, View, check_folder, load_image, load_mask, open_rgb, time_sizes
from spf_core.errors import DataError

ORIENTATION = 0x0112
QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], dtype=np.uint8)


def quarters(width: int = 40, height: int = 40) -> Image.Image:
    """Red, green, blue and yellow quarters."""
    return Image.fromarray(QUARTERS).resize((width, height), Image.Resampling.NEAREST)


def row(file: Path, **values: object) -> Row:
    return Row(file, "a man", "a hat", **values)  # type: ignore[arg-type]


def corner(pixels: np.ndarray) -> list[int]:
    return [int(value) for value in pixels[0, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = quarters(40, 20)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose that a viewer would undo
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "p.png", exif=exif)
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "p.png")), np.asarray(upright))
    assert time_sizes(row(tmp_path / "p.png"), 20) == (20, 40, 0, 10, 20, 20)


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 30, 30)).convert("CMYK").save(tmp_path / "p.jpg", quality=95)
    assert np.allclose(open_rgb(tmp_path / "p.jpg").getpixel((4, 4)), (200, 30, 30), atol=12)


def test_a_palette_s_transparent_colour_is_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putpixel((0, 0), 1)
    picture.save(tmp_path / "p.gif", transparency=0)
    found = open_rgb(tmp_path / "p.gif")
    assert [found.getpixel(place) for place in ((0, 0), (3, 3))] == [(200, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / f"p{suffix}")
    found = np.asarray(open_rgb(tmp_path / f"p{suffix}"))[..., 0]
    assert np.array_equal(found, np.round(ramp / 257).astype(np.uint8))


def test_half_transparency_is_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "p.webp", lossless=True)
    assert np.allclose(open_rgb(tmp_path / "p.webp").getpixel((0, 0)), (255, 127, 127), atol=1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_a_cut_or_empty_file_is_a_problem_that_names_it(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    file = tmp_path / f"p{suffix}"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError) as caught:
        open_rgb(file)
    assert str(file) in str(caught.value)
    assert "cannot be decoded" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_lists_every_broken_file_of_a_folder(tmp_path: Path) -> None:
    quarters().save(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("<html>")
    (tmp_path / "empty.webp").write_bytes(b"")
    for name in ("good", "text", "empty"):
        (tmp_path / f"{name}.txt").write_text("a man, a hat")
    report = check_folder(tmp_path, DatasetSection(trigger="a hat"))
    assert len(report.rows) == 1
    assert sorted(
        name for name in ("text.jpg", "empty.webp") for each in report.problems if name in each
    ) == [
        "empty.webp",
        "text.jpg",
    ]


def test_a_view_is_mirrored_first_and_cropped_then(tmp_path: Path) -> None:
    quarters(80, 40).save(tmp_path / "p.png")
    left, mirrored = (View(x=0, flip=flip) for flip in (False, True))
    assert corner(load_image(row(tmp_path / "p.png", view=left), 8)) == [255, 0, 0]
    assert corner(load_image(row(tmp_path / "p.png", view=mirrored), 8)) == [0, 255, 0]


def test_a_mask_follows_its_image(tmp_path: Path) -> None:
    quarters(80, 40).save(tmp_path / "p.png")
    mask = Image.new("L", (80, 40))
    mask.paste(255, (40, 0, 80, 20))  # the green quarter
    mask.save(tmp_path / "m.png")
    for view in (View(), View(x=0, flip=True), View(size=(16, 8), flip=True), View(size=(8, 16), x=0.6)):
        shown = row(tmp_path / "p.png", mask=tmp_path / "m.png", view=view)
        pixels, found = load_image(shown, 8), load_mask(shown, 8, view.size or (8, 8))
        green = (pixels.astype(int) @ [-1, 1, -1]).clip(0) / 255
        assert green.max() > 0.9
        assert np.abs(green - found).mean() < 0.1


def test_what_a_mask_leaves_transparent_is_not_the_target(tmp_path: Path) -> None:
    quarters(8, 8).save(tmp_path / "p.png")
    mask = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 4, 8))
    mask.save(tmp_path / "m.png")
    found = load_mask(row(tmp_path / "p.png", mask=tmp_path / "m.png"), 8, (8, 8))
    assert found.tolist() == [[1.0] * 4 + [0.0] * 4] * 8


@pytest.mark.parametrize(
    ("view", "sizes"),
    [
        (View(), (300, 600, 0, 50, 100, 100)),
        (View(x=0), (300, 600, 0, 0, 100, 100)),
        (View(x=1, flip=True), (300, 600, 0, 100, 100, 100)),
        (View(size=(200, 80), y=1), (300, 600, 20, 0, 80, 200)),
    ],
)
def test_time_ids_say_original_size_crop_and_target_size(
    tmp_path: Path, view: View, sizes: tuple[int, ...]
) -> None:
    Image.new("RGB", (600, 300)).save(tmp_path / "p.jpg")
    assert time_sizes(row(tmp_path / "p.jpg", view=view), 100) == sizes
