"""Same-seed pairs come from the same noise, the original is the original, and it is drawn only once."""

from contextlib import contextmanager

import numpy as np
import pytest
from squares import Squares

from spf_core.sampling.sampler import sample_images
from spf_lab.evaluation import originals, quadruples
from spf_lab.evaluation.originals import original_images
from spf_lab.evaluation.quadruples import generate, noise_seeds


@pytest.fixture
def draw(open_run):
    def drawn(prompts=2, seeds=2, **options):
        texts = Squares().prompts("dot", prompts, seed=0, split="test")
        sample = open_run.config.sample
        backbone, adapter = open_run.backbone, open_run.adapter
        return generate(backbone, adapter, texts, seeds, sample, target="dot", **options)

    return drawn


def pixels(images):
    return np.stack([np.asarray(image) for image in images])


def test_noise_seeds_are_distinct_and_do_not_depend_on_how_many_are_asked_for():
    first, again = noise_seeds(20, 3, seed=0, draw=0), noise_seeds(20, 3, seed=0, draw=1)
    assert len({*first, *again}) == 120
    assert noise_seeds(5, 3, seed=0, draw=0) == first[:15]
    assert noise_seeds(20, 1, seed=0, draw=0) == first[::3]


def test_every_prompt_gets_every_seed_in_all_five_roles(draw):
    quads = draw(prompts=3, seeds=2)
    assert [len(each) for each in (quads.a, quads.b, quads.c, quads.d, quads.a2)] == [6] * 5


def test_tuned_images_differ_from_the_originals_and_the_reseed_from_both(draw):
    quads = draw()
    assert (pixels(quads.a) != pixels(quads.d)).any()
    assert (pixels(quads.b) != pixels(quads.c)).any()
    assert (pixels(quads.a) != pixels(quads.a2)).any()


def test_with_the_adapter_at_zero_the_original_is_reproduced_exactly(draw, open_run):
    quads = draw()
    open_run.adapter.scale(0.0)
    texts = [item.prompt.base_text for item in quads.prompts for _ in range(2)]
    again = sample_images(open_run.backbone, texts, quads.noise, open_run.config.sample)
    assert (pixels(again) == pixels(quads.a)).all()
    assert (pixels(quads.rerun) == pixels(quads.a)).all()


def test_the_draw_is_repeated_in_a_batch_of_the_same_size(draw, open_run, monkeypatch, tmp_path):
    """Else a difference between kernels for other sizes counts as noise of the draw, and is subtracted."""
    sizes, pipeline = [], open_run.backbone.pipeline()

    def counting(*args, latents, **options):
        sizes.append(len(latents))
        return pipeline(*args, latents=latents, **options)

    class Counting:
        __call__ = staticmethod(counting)

        def __getattr__(self, name):
            return getattr(pipeline, name)

    monkeypatch.setattr(type(open_run.backbone), "pipeline", lambda self: Counting())
    monkeypatch.setenv("SPF_CACHE", str(tmp_path))
    assert open_run.config.sample.batch_size > 6
    quads = draw(prompts=3, seeds=2)
    assert (len(quads.rerun), set(sizes)) == (6, {6})


def test_the_adapter_is_left_switched_on(draw, open_run):
    quads = draw()
    texts = [item.prompt.complete_text for item in quads.prompts for _ in range(2)]
    again = sample_images(open_run.backbone, texts, quads.noise, open_run.config.sample)
    assert (pixels(again) == pixels(quads.c)).all()


def test_a_second_evaluation_reads_the_originals_from_the_cache(draw, cache):
    heard = []
    first = draw()
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    second = draw(progress=lambda stage, done, total, **_: heard.append((stage, done, total)))
    assert len(files) == 12
    assert files == {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    assert (pixels(first.a2) == pixels(second.a2)).all()
    assert ("original, base text", 4, 4) in heard


def test_another_seed_or_option_is_another_draw(draw, open_run, cache):
    draw()
    draw(seed=1)
    assert len(list(cache.rglob("*.png"))) == 24
    options = open_run.config.sample.model_copy(update={"guidance": 2.5})
    open_run.adapter.scale(0.0)
    original_images(open_run.backbone, ["a hat"], [1], open_run.config.sample)
    original_images(open_run.backbone, ["a hat"], [1], options)
    assert len(list(cache.rglob("*.png"))) == 26


@pytest.fixture
def older(monkeypatch):
    """Within the context every picture is drawn a little otherwise, as by an older version."""

    def otherwise(*args, **options):
        drawn = sample_images(*args, **options)
        return [image.point(lambda value: value ^ 1) for image in drawn]

    @contextmanager
    def painting():
        with monkeypatch.context() as patch:
            for module in (originals, quadruples):
                patch.setattr(module, "sample_images", otherwise)
            yield

    return painting


def same_originals(first, second):
    return [
        (pixels(getattr(first, role)) == pixels(getattr(second, role))).all() for role in ("a", "b", "a2")
    ]


def test_originals_that_this_process_draws_otherwise_are_drawn_again(draw, cache, older, monkeypatch):
    """Else their difference counts as noise of the draw, and is subtracted."""
    monkeypatch.setenv("SPF_CACHE", str(cache / "clean"))
    clean = draw()
    monkeypatch.setenv("SPF_CACHE", str(cache / "filled"))
    with older():
        other = draw()
    assert not any(same_originals(clean, other))
    for quads in (draw(), draw()):
        assert (pixels(quads.rerun) == pixels(quads.a)).all()
        assert all(same_originals(clean, quads))
    assert len(list((cache / "filled").rglob("*.png"))) == 12


def test_pictures_that_were_kept_beside_other_originals_are_drawn_again(draw, cache, older, open_run):
    """A second target's B is met when the first evaluation has drawn A anew already."""
    with older():
        old = draw()
    open_run.adapter.scale(0.0)
    base = [item.prompt.base_text for item in old.prompts for _ in range(2)]
    sample = open_run.config.sample
    again = sample_images(open_run.backbone, base, old.noise, sample)
    kept = original_images(open_run.backbone, base, old.noise, sample, begins=again)
    assert (pixels(kept) == pixels(again)).all()
    assert not any(same_originals(old, draw()))


def test_a_damaged_cache_entry_is_drawn_again(draw, cache):
    first = draw()
    for path in cache.rglob("00000.png"):
        path.write_bytes(path.read_bytes()[:40])
    assert (pixels(draw().a) == pixels(first.a)).all()
