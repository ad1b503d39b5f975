"""Attention over the timesteps of a sampling: whose it is, where it is, and that looking changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spf_core.config.loading import load_run_config
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.run import OpenRun
from spf_core.utils.prompts import Prompt
from spf_lab.attention.maps import attention_maps, chosen_steps
from spf_lab.attention.words import find_token, singled_out

PROMPT = Prompt("a young woman with red hair", "wearing a hat")


@pytest.fixture
def opened(tiny_backbone, tmp_path: Path):
    def make(preset: str = "spf-paper", *, tuned: bool = True, **sample: float) -> OpenRun:
        options = {"steps": 4, "guidance": 2.0, **sample}
        config = load_run_config(load_plugins(), preset=preset, overrides={"sample": options})
        adapter = config.adapter.build()
        adapter.attach(tiny_backbone)
        generator = torch.Generator().manual_seed(0)
        for parameter in adapter.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * tuned
        return OpenRun(tmp_path, config, tiny_backbone, adapter, "0" * 16)

    return make


def look(run: OpenRun, token: str = "hat", columns: int = 4):
    return attention_maps(run, PROMPT, token, run.config.sample, columns=columns)


def test_every_chosen_timestep_has_maps_of_both_models(opened) -> None:
    maps = look(opened(), columns=3)
    assert len(maps.timesteps) == 3
    assert list(maps.timesteps) == sorted(maps.timesteps, reverse=True)
    assert maps.token == "hat"
    for strip in maps.strips.values():
        assert len(strip.estimates) == len(strip.attention) == 3
        assert all(each.shape == (8, 8) and each.min() >= 0 for each in strip.attention)
    assert 0 < maps.strongest <= 1


def test_attention_to_all_words_of_a_phrase_is_their_mean(opened) -> None:
    run = opened()
    wearing, hat, both = (look(run, token).strips["tuned"].attention[0] for token in ("a", "hat", "a hat"))
    np.testing.assert_allclose(both, (wearing + hat) / 2, atol=1e-6)


def test_the_control_map_of_the_run_is_shown_for_the_tuned_model_only(opened) -> None:
    maps = look(opened())
    assert maps.control_map == "sfcm-v1"
    assert maps.strips["original"].control == ()
    assert len(maps.strips["tuned"].control) == 4
    assert all(each.min() >= 0 and each.max() <= 1 for each in maps.strips["tuned"].control)


def test_a_run_without_a_control_map_shows_none(opened) -> None:
    maps = look(opened("lora"))
    assert maps.control_map is None
    assert maps.strips["tuned"].control == ()


def test_a_map_of_counterfactuals_is_made_for_the_picture(opened) -> None:
    maps = look(opened("spf"))
    assert maps.control_map == "sfcm-counterfactual"
    first, *others = maps.strips["tuned"].control
    assert first.max() > 0
    assert all((first == other).all() for other in others)


def test_an_adapter_that_changes_nothing_attends_as_the_original(opened) -> None:
    maps = look(opened(tuned=False))
    original, tuned = maps.strips["original"], maps.strips["tuned"]
    assert all((a == b).all() for a, b in zip(original.attention, tuned.attention, strict=True))
    assert original.picture.tobytes() == tuned.picture.tobytes()


def test_before_the_handover_the_target_is_not_read_but_the_base_text_is(opened) -> None:
    run = opened(handover=0.5)
    hat, hair = (look(run, token).strips["tuned"].attention for token in ("hat", "hair"))
    assert [each is None for each in hat] == [True, True, False, False]
    assert all(each is not None for each in hair)
    before = look(run, "hair").strips["original"].attention[0]
    assert (hair[0] == before).all(), "the original model draws the opening"


def test_looking_leaves_the_model_as_it_was(opened) -> None:
    run = opened()
    processors = {name: type(each) for name, each in run.backbone.denoiser.attn_processors.items()}
    look(run)
    assert {name: type(each) for name, each in run.backbone.denoiser.attn_processors.items()} == processors
    assert not run.backbone.denoiser._forward_pre_hooks
    first, again = look(run), look(run)
    assert (first.strips["tuned"].attention[0] == again.strips["tuned"].attention[0]).all()


def test_a_word_is_found_whole_in_any_case_and_last() -> None:
    prompt = Prompt("That hatter, a Hat", "with a hat, chatty")
    begin, end = find_token(prompt, "HAT")
    assert prompt.complete_text[begin:end] == "hat"
    assert begin == prompt.complete_text.rindex(" hat,") + 1
    chosen = singled_out(prompt, (begin, end))
    assert chosen.phrase_spans()[-1] == (begin, end)


@pytest.mark.parametrize("token", ["sunglasses", "ha", "", "  "])
def test_a_word_that_the_prompt_lacks_is_answered_with_those_it_has(token: str) -> None:
    with pytest.raises(ConfigError, match="it has: a, young, woman, with, red, hair, wearing, hat"):
        find_token(PROMPT, token)


def test_a_word_beyond_what_is_read_is_refused(opened) -> None:
    run = opened("lora")
    long = Prompt("a man " * 60, "wearing a hat")
    with pytest.raises(ConfigError, match="beyond the 77 tokens"):
        attention_maps(run, long, "hat", run.config.sample)


@pytest.mark.parametrize("case", [(20, 8, 0), (20, 8, 13), (2, 8, 0), (20, 8, 20), (3, 8, 1), (20, 1, 13)])
def test_chosen_steps_are_distinct_ordered_and_end_with_the_picture(case) -> None:
    steps, columns, before_handover = case
    chosen = chosen_steps(steps, columns, before_handover)
    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= columns
    assert len(chosen) == 1 or chosen[-1] == steps - 1
    assert before_handover >= steps or any(step >= before_handover for step in chosen)
