"""Released phrases: text consistency leaves them out, and the map covers them."""

from pathlib import Path

import pytest
import torch
from steps import PROMPTS, cached_rows, config_of, parts_of

from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_core.preparation.released_phrases import with_released


@pytest.fixture
def parts(tiny_folder: Path) -> Parts:
    return parts_of(config_of(tiny_folder, 'train.release=["park"]', "control_map=uniform"))


def test_the_map_covers_a_released_phrase_and_leaves_other_rows_alone(parts: Parts) -> None:
    batch = with_released(cached_rows(parts, embedded=True), ["park"]).batch(range(4))
    state, report = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(0))
    assert state.map_B1HW is not None
    in_the_park = [number for number, prompt in enumerate(PROMPTS) if "park" in prompt.base_text]
    assert state.map_B1HW.amax((1, 2, 3)).nonzero().flatten().tolist() == in_the_park
    assert report.raw["text-consistency"] > 0


def test_a_released_phrase_is_no_base_phrase_any_more(parts: Parts) -> None:
    before = cached_rows(parts, embedded=True)
    after = with_released(before, ["PARK"])
    for cond, old in ((after.base, before.base), (after.complete, before.complete)):
        phrases = [int(row.any(-1).sum()) for row in cond.phrase_BPL]
        assert phrases == [
            int(row.any(-1).sum()) - ("park" in prompt.base_text)
            for row, prompt in zip(old.phrase_BPL, PROMPTS, strict=True)
        ]
    assert before.base.phrase_BPL.sum() - after.base.phrase_BPL.sum() == after.released_NL.sum()


def test_a_word_that_no_phrase_has_is_refused(parts: Parts) -> None:
    with pytest.raises(ConfigError, match=r"train.release: no base phrase .* contains 'beach'"):
        with_released(cached_rows(parts, embedded=True), ["park", "beach"])
