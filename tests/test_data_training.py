"""Training on users' data: buckets, repeats, dropped captions, and what is kept on disk."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from steps import batch_of, config_of, parts_of

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.config.sections import TrainSection
from spf_core.data import Row, View, load_image, read_folder
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.step_sampling import draw_texts
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import load_plugins
from spf_core.preparation.buckets import BucketedRows
from spf_core.preparation.encoding import CachedRows, encode_rows
from spf_core.preparation.rows import encoded_rows, rows_of
from spf_core.preparation.views import with_views
from spf_core.runs.checkpoint import read_safetensors
from spf_core.training.loop import train
from spf_core.training.trainer import Trainer
from spf_core.utils.pixels import to_pixels
from spf_core.utils.progress import silent
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

SIZES = ((40, 40), (80, 48), (80, 48), (30, 50), (41, 40))
FAST = ("train.batch_size=2", "checkpoint.every=2", "sample.steps=2", "train.device=cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five captioned images of three shapes, with masks; one is read three times."""
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        place = tmp_path / "photos" / ("3_hat" if number == 4 else "1_hat")
        place.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"{number}.png")
        Image.fromarray(noise[..., 0]).save(place / f"{number}-masklabel.png")
        (place / f"{number}.txt").write_text(f"a portrait of an old man, wearing a hat, red hair, {number}")
    return tmp_path / "photos"


def settings(
    folder: Path, tiny: Path, *assignments: str, preset: str = "spf-paper", steps: int = 4
) -> RunConfig:
    return load_run_config(
        load_plugins(),
        preset=preset,
        overrides={
            "data": str(folder),
            "dataset": {"trigger": "wearing a hat"},
            "train": {"steps": 4},
        },
        assignments=[f"backbone.path={tiny}", *FAST, *assignments],
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_safetensors(run / "adapter.safetensors")[0]


@pytest.mark.parametrize("preset", ["spf-paper", "spf", "masked-prior"])
def test_buckets_train_and_resume_bit_identically(
    folder: Path, tiny_folder: Path, tmp_path: Path, preset: str
) -> None:
    every = ("dataset.buckets=true", "dataset.crop=random", "dataset.flip=true", "sample.every=2")
    config = settings(folder, tiny_folder, *every, preset=preset)
    plugins = load_plugins()
    train(config, tmp_path / "whole", plugins)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    (tmp_path / "cut" / "adapter.safetensors").unlink()
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-000004")
    train(config, tmp_path / "cut", plugins, resume=True)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert len(list((tmp_path / "cut" / "samples").glob("*-maps.png"))) == 2


def test_each_row_of_a_bucket_is_its_own_image_text_and_mask(folder: Path, tiny_folder: Path) -> None:
    every = ("dataset.buckets=true", "dataset.flip=true", "dataset.crop=random")
    config = settings(folder, tiny_folder, *every, preset="masked-prior")
    backbone = config.backbone.build()
    cached = encoded_rows(backbone, rows_of(config.preparation), config.preparation, silent)
    assert isinstance(cached, BucketedRows)
    assert cached.buckets == [[0, 4, 4, 4], [1, 2], [3]]  # row 4 is read three times
    assert [prompt.base_text[-1] for prompt in cached.prompts] == ["0", "1", "2", "3", "4"]
    for members, (height, width) in zip(cached.buckets, ((8, 8), (6, 10), (10, 6)), strict=True):
        batch = cached.batch(members)
        assert batch.mask_B1HW is not None
        assert batch.rows.tolist() == members
        assert batch.latents_BCHW.shape[2:] == batch.mask_B1HW.shape[2:] == (height, width)
        assert [name[0] for name in batch.ids] == [prompt.base_text[-1] for prompt in batch.prompts]
        for row, latent, mask in zip(members, batch.latents_BCHW, batch.mask_B1HW, strict=True):
            shown = shown_row(config, row)
            pixels = to_pixels([load_image(shown, 32)])
            torch.testing.assert_close(latent, backbone.encode_images(pixels)[0], rtol=1e-4, atol=1e-5)
            red = torch.nn.functional.adaptive_avg_pool2d((pixels[0, :1] + 1) / 2, (height, width))
            assert (red - mask).abs().mean() < 0.04  # the mask is the image's red channel, shrunk another way


def shown_row(config: RunConfig, number: int) -> Row:
    return with_views(rows_of(config.preparation), config.dataset, 32, 8, config.train.seed)[number]


def test_buckets_refuse_released_words(folder: Path, tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.buckets does not go with train\.release"):
        settings(folder, tiny_folder, "dataset.buckets=true", "train.release=[red hair]")


def test_sdxl_is_told_each_picture_s_sizes(folder: Path, tiny_xl_folder: Path) -> None:
    backbone = StableDiffusionXL(tiny_xl_folder)
    rows = read_folder(folder, settings(folder, tiny_xl_folder).dataset)
    shown = [replace(row, view=View(size=(40, 24), x=1)) for row in rows]
    batch = encode_rows(backbone, shown, needs={"target_text"}).batch([1, 3])
    expected = [[48, 80, 0, 0, 24, 40], [50, 30, round(16 * 40 / 30), 0, 24, 40]]
    for cond in (batch.complete, batch.base, batch.target, batch.empty_rows):
        assert cond is not None
        assert cond.sizes_B6.tolist() == expected


def test_repeats_are_read_more_often(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    config = settings(folder, tiny_folder)
    trainer = Trainer(config, tmp_path / "run", rows_of(config.preparation), silent)
    read = [row for step in range(7) for row in trainer.order.rows(step)]
    assert sorted(read) == sorted([0, 1, 2, 3, 4, 4, 4] * 2)


def test_a_dropped_caption_learns_its_image_without_text_and_is_not_aligned(tiny_folder: Path) -> None:
    config = config_of(tiny_folder, "train.caption_dropout=0.5", "train.base_share=0.3")
    parts = parts_of(config)
    batch = batch_of(parts)
    state, _ = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(5))
    dropped = state.dropped_B
    assert 0 < dropped.sum() < len(dropped)
    assert not (dropped & state.has_target_B).any()
    assert torch.equal(state.response_text.embeds_BLD[dropped], batch.empty_rows.embeds_BLD[dropped])
    assert torch.equal(
        state.response_text.embeds_BLD[~dropped & state.has_target_B],
        batch.complete.embeds_BLD[~dropped & state.has_target_B],
    )
    assert state.map_B1HW is not None
    assert (state.map_B1HW[dropped] == 1).all()
    assert state.has_image_loss_B[dropped].all()


def test_captions_are_dropped_as_often_as_asked_and_nothing_else_changes() -> None:
    def draw(share: float, *, reference: bool):
        train = TrainSection(caption_dropout=share, base_share=0.25)
        return draw_texts(20000, train, reference, torch.Generator().manual_seed(0))

    for reference in (True, False):
        plain, some = draw(0, reference=reference), draw(0.2, reference=reference)
        assert not plain.dropped_B.any()
        assert torch.equal(plain.target_B, some.target_B | some.dropped_B)
        assert some.dropped_B.sum() / plain.target_B.sum() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("preset", ["lora", "spf-paper"])
def test_dropping_captions_changes_training_and_resumes_bit_identically(
    folder: Path, tiny_folder: Path, tmp_path: Path, preset: str
) -> None:
    plugins = load_plugins()
    for name, share in (("plain", 0.0), ("dropping", 0.6)):
        config = settings(
            folder, tiny_folder, f"train.caption_dropout={share}", "sample.every=0", preset=preset
        )
        train(config, tmp_path / name, plugins)
    shutil.copytree(tmp_path / "dropping", tmp_path / "cut")
    (tmp_path / "cut" / "adapter.safetensors").unlink()
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-000004")
    train(config, tmp_path / "cut", plugins, resume=True)
    plain, dropping, cut = (weights(tmp_path / name) for name in ("plain", "dropping", "cut"))
    assert all(torch.equal(dropping[name], cut[name]) for name in cut)
    assert any(not torch.equal(dropping[name], plain[name]) for name in cut)
    assert "caption_dropout: 0.6" in (tmp_path / "cut" / "config.yaml").read_text()


def test_a_bank_refuses_dropped_captions(folder: Path, tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"set train\.caption_dropout to 0"):
        settings(
            folder,
            tiny_folder,
            "reference.name=bank",
            "reference.states=2",
            "train.noise_share=0.5",
            "train.caption_dropout=0.1",
        )


class Counting:
    """Counts what the backbone encodes."""

    def __init__(self, backbone: StableDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images = self.texts = 0
        encode_images, encode_prompts = backbone.encode_images, backbone.encode_prompts

        def images(pixels):
            self.images += len(pixels)
            return encode_images(pixels)

        def prompts(each, *, with_target):
            self.texts += len([prompt for prompt in each if prompt.base_text])
            return encode_prompts(each, with_target=with_target)

        monkeypatch.setattr(backbone, "encode_images", images)
        monkeypatch.setattr(backbone, "encode_prompts", prompts)

    def encoded(self, backbone: StableDiffusion, rows: list[Row]) -> tuple[CachedRows, int, int]:
        self.images = self.texts = 0
        found = encode_rows(backbone, rows, needs={"clean_image"}, keep=True)
        return found, self.images, self.texts


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def twenty(tmp_path: Path) -> list[Row]:
    """More than are encoded at once."""
    rng = np.random.default_rng(1)
    for number in range(20):
        noise = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    return [Row(tmp_path / f"{number}.png", f"a man {number}", "a hat") for number in range(20)]


def same(one: CachedRows, other: CachedRows) -> bool:
    def tensors(rows: CachedRows) -> list[torch.Tensor]:
        assert rows.image_embeds_ND is not None
        texts = [*vars(rows.complete).values(), *vars(rows.base).values()]
        return [rows.latents_NCHW, rows.image_embeds_ND, torch.tensor(rows.images), *texts]

    return all(torch.equal(first, second) for first, second in zip(tensors(one), tensors(other), strict=True))


def test_what_is_kept_is_read_back_to_the_bit(
    twenty: list[Row], tiny_backbone: StableDiffusion, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = encode_rows(tiny_backbone, twenty, needs={"clean_image"})
    assert not own_folder.exists()
    counting = Counting(tiny_backbone, monkeypatch)
    first, images, texts = counting.encoded(tiny_backbone, twenty)
    assert (images, texts) == (20, 40)
    again, images, texts = counting.encoded(tiny_backbone, twenty)
    assert (images, texts) == (0, 0)
    assert same(first, fresh)
    assert same(again, fresh)


def test_a_changed_file_is_noticed_and_only_what_lay_beside_it_is_encoded_again(
    twenty: list[Row], tiny_backbone: StableDiffusion, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(tiny_backbone, monkeypatch)
    before, *_ = counting.encoded(tiny_backbone, twenty)
    Image.new("RGB", (32, 32), "red").save(twenty[18].image)
    after, images, texts = counting.encoded(tiny_backbone, twenty)
    assert (images, texts) == (4, 0)
    changed = [row for row in range(20) if not torch.equal(before.latents_NCHW[row], after.latents_NCHW[row])]
    assert 18 in changed
    assert same(after, encode_rows(tiny_backbone, twenty, needs={"clean_image"}))


def test_other_crops_texts_and_orders_are_other_entries(
    twenty: list[Row], tiny_backbone: StableDiffusion, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(tiny_backbone, monkeypatch)
    counting.encoded(tiny_backbone, twenty)
    variants = {
        "mirrored": [replace(row, view=View(flip=True)) for row in twenty],
        "reversed": twenty[::-1],
        "swapped files": [replace(row, image=twenty[19 - number].image) for number, row in enumerate(twenty)],
        "other texts": [replace(row, base_text="a woman") for row in twenty],
    }
    for name, rows in variants.items():
        found, *_ = counting.encoded(tiny_backbone, rows)
        assert same(found, encode_rows(tiny_backbone, rows, needs={"clean_image"})), name


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
@pytest.mark.parametrize("kind", ["latents", "texts"])
def test_a_damaged_entry_is_made_again(
    twenty: list[Row],
    tiny_backbone: StableDiffusion,
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    damage: str,
) -> None:
    counting = Counting(tiny_backbone, monkeypatch)
    fresh, *_ = counting.encoded(tiny_backbone, twenty)
    for file in (own_folder / kind).iterdir():
        content = bytearray(file.read_bytes())
        content[-9] ^= 0x40
        file.write_bytes({"cut": content[:-40], "flipped": content, "emptied": b""}[damage])
    again, images, texts = counting.encoded(tiny_backbone, twenty)
    assert (images, texts) == {"latents": (20, 0), "texts": (0, 40)}[kind]
    assert same(again, fresh)
    assert counting.encoded(tiny_backbone, twenty)[1:] == (0, 0)
