"""Pooling, paired tests, expected directions and claims of a benchmark, on numbers made up for them."""

import json
import os
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spf_core.errors import ConfigError
from spf_core.runs.file_locks import STALE_AFTER, claimed, holder
from spf_lab.benchmark.analysis import make_tables, paired_tests
from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.costs import Cost
from spf_lab.benchmark.plan import Cell, all_cells, chosen_cells
from spf_lab.benchmark.pooling import join
from spf_lab.benchmark.signs import sign_tests
from spf_lab.benchmark.spec import PresetEntry, parse_benchmark
from spf_lab.benchmark.tables import markdown, score_table, sign_table, winner
from spf_lab.evaluation.measure import Comparison, PairNumbers
from spf_lab.evaluation.purity import PARTS
from spf_lab.evaluation.scores import score
from spf_lab.evaluation.statistics import Bootstrap

PROMPTS, SEEDS = 40, 2


def numbers(effect=0.8, noise=0, **parts) -> PairNumbers:
    """Pairs whose scores scatter around the given ones; parts not named are polluted by 0.3."""
    rng = np.random.default_rng(noise)

    def around(value):
        return np.clip(value + rng.normal(scale=0.05, size=PROMPTS * SEEDS), 0, 1)

    distances = {part: around(parts.get(part, 0.3)) for part in PARTS}
    compared = Comparison(distances, {part: np.ones(PROMPTS * SEEDS) for part in PARTS})
    return PairNumbers(
        prompts=PROMPTS,
        parts={part: part for part in PARTS},
        tuned=compared,
        prompted=compared,
        base=compared,
        floor=dict.fromkeys(PARTS, 0.0),
        tau={"a": np.zeros(PROMPTS * SEEDS), **{role: around(effect) for role in "bcd"}},
        tau_ref=1.0,
        region_share=around(0.2),
    )


def finished(name, found, *, target="hat", seed=0) -> Finished:
    cell = Cell(target, PresetEntry(name=name, preset=name), seed)
    results = {
        "n_prompts": PROMPTS,
        "n_seeds": SEEDS,
        "sps": {"value": 1.0, "ci": [0.0, 2.0]},
        "sampling": {"handover": 0.5},
    }
    return Finished(cell, results, found, (), Cost(10, 5.0, 100.0, 7))


def compared(reference, other):
    table = make_tables([finished("spf", reference), finished("lora", other)])["hat"]
    return {test.measure: test for test in paired_tests(table, "spf")}


def test_a_purer_preset_is_found_and_an_equal_one_is_not():
    purer = compared(numbers(noise=1), numbers(noise=2, appearance=0.9, layout=0.9))
    assert purer["spi"].difference.ci[1] < 0 < purer["sps"].difference.ci[0]
    assert purer["spi"].p_holm < 0.01
    assert purer["sps"].p_holm < 0.01
    assert purer["effect"].p_holm > 0.05
    equal = compared(numbers(noise=1), numbers(noise=2))
    assert min(test.p_holm for test in equal.values()) > 0.05


def test_the_same_pairs_do_not_differ_at_all():
    for test in compared(numbers(), numbers()).values():
        assert (test.difference.value, test.difference.ci, test.p) == (0, (0, 0), 1)


def test_pooling_a_seed_with_itself_changes_nothing():
    one, draws = numbers(), Bootstrap(PROMPTS)
    once, twice = score(one, draws).headline, score(join([one, one], along="seeds"), draws).headline
    assert {name: value.value for name, value in twice.items()} == pytest.approx(
        {name: value.value for name, value in once.items()}
    )
    assert twice["sps"].ci == pytest.approx(once["sps"].ci)


def test_pooled_training_seeds_average_within_their_prompt():
    low, high = (replace(numbers(), tau={role: np.full(80, tau) for role in "abcd"}) for tau in (0.0, 1.0))
    table = make_tables([finished("spf", low), finished("spf", high, seed=1)])["hat"]
    row = table["spf"].to_json()
    assert row["hit_rate"] == {"value": 0.5, "ci": [0.5, 0.5]}
    assert (row["training_seeds"], row["n_prompts"], row["seconds_per_step"]) == ([0, 1], PROMPTS, 0.5)


def test_only_training_seeds_that_both_have_are_compared():
    cells = [
        finished("spf", numbers()),
        finished("spf", numbers(effect=0.1), seed=1),
        finished("lora", numbers()),
    ]
    test = next(test for test in paired_tests(make_tables(cells)["hat"], "spf") if test.measure == "effect")
    assert (test.seeds, test.difference.value) == ((0,), 0)


def verdicts(rows, targets=("hat",)):
    cells = [finished(name, found, target=target) for target in targets for name, found in rows.items()]
    tests = sign_tests({"all": make_tables(cells)})
    return {test["formula"]: test["targets"]["hat"]["verdict"] for test in tests}, tests


def test_directions_are_judged_on_training_seeds_that_both_have():
    """Another seed of one preset alone, here all polluted, must not decide a direction."""
    cells = [
        finished("spf", numbers(noise=3)),
        finished("spf", numbers(noise=3, **dict.fromkeys(PARTS, 0.9)), seed=1),
        finished("naive", numbers(noise=1, appearance=0.9, layout=0.8)),
    ]
    tests = {test["formula"]: test for test in sign_tests({"all": make_tables(cells)})}
    assert tests["sps(spf) - sps(naive) > 0"]["targets"]["hat"]["verdict"] == "holds"


def test_the_directions_of_the_paper_hold_where_they_are_there():
    found, _ = verdicts(
        {
            "naive": numbers(noise=1, appearance=0.9, layout=0.8),
            "lora": numbers(noise=2, appearance=0.8),
            "spf": numbers(noise=3),
            "spf-no-text-consistency": numbers(noise=4, structure=0.5, layout=0.5),
            "spf-no-fine-grained": numbers(noise=5, layout=0.8, identity=0.8),
            "spf-no-enhancement": numbers(noise=6, effect=0.6),
            "spf-no-sfcm": numbers(noise=7, effect=0.2, **dict.fromkeys(PARTS, 0.1)),
        }
    )
    assert len(found) == 12
    assert set(found.values()) == {"holds"}


def test_the_papers_directions_are_judged_on_its_own_method_and_by_stratum():
    rows = {
        "spf-paper": numbers(noise=3),
        "spf-paper-no-sfcm": numbers(noise=7, effect=0.2, **dict.fromkeys(PARTS, 0.1)),
        "spf": numbers(noise=4),
        "spf-no-enhancement": numbers(noise=5, effect=0.5),
    }
    cells = [finished(name, found) for name, found in rows.items()]
    strata = {name: make_tables(cells, name) for name in ("explicit", "silent")}
    tests = sign_tests({"all": make_tables(cells), **strata})
    asked = {(test["of"], test["prompts"], test["formula"]) for test in tests}
    for prompts in ("all", "explicit", "silent"):
        assert ("spf-paper", prompts, "spi(spf-paper) - spi(spf-paper-no-sfcm) > 0") in asked
        assert ("spf", prompts, "effect(spf) - effect(spf-no-enhancement) > 0") in asked
    assert all("spf-paper" in test["formula"] for test in tests if test["of"] == "spf-paper")


def test_a_stratum_has_every_other_prompt_of_every_training_seed():
    low, high = np.zeros(PROMPTS * SEEDS), np.ones(PROMPTS * SEEDS)
    odd = (np.arange(PROMPTS * SEEDS) // SEEDS) % 2 == 1
    found = numbers()
    found = replace(found, tau={**found.tau, "c": np.where(odd, high, low)})
    cells = [finished("spf", found), finished("spf", found, seed=1)]
    tables = {name: make_tables(cells, name)["hat"]["spf"] for name in ("explicit", "silent")}
    assert tables["explicit"].measure("effect")[0] == 0
    assert tables["silent"].measure("effect")[0] == 1
    assert make_tables(cells)["hat"]["spf"].measure("effect")[0] == 0.5
    assert tables["silent"].seeds == (0, 1)


def test_a_direction_that_is_reversed_fails_and_one_within_noise_is_unclear():
    found, _ = verdicts({"spf": numbers(noise=1), "lora": numbers(noise=2), "naive": numbers(appearance=0.0)})
    assert found["sps(spf) - sps(naive) > 0"] == "does not hold"
    assert found["sps(spf) - sps(lora) > 0"] == "unclear"


def test_a_direction_is_unclear_where_both_rows_are_at_the_end_of_the_scale():
    whole = dict.fromkeys(PARTS, 5.0)
    found, _ = verdicts({"spf": numbers(noise=1, **whole), "spf-no-fine-grained": numbers(noise=2, **whole)})
    assert found["layout(spf-no-fine-grained) - layout(spf) > 0"] == "unclear"


def test_directions_are_also_judged_on_the_mean_of_several_targets():
    rows = {"spf": numbers(noise=1), "lora": numbers(noise=2, appearance=0.9)}
    _, tests = verdicts(rows, targets=("hat", "beard"))
    (test,) = tests
    assert set(test["targets"]) == {"hat", "beard"}
    assert test["mean"]["value"] == pytest.approx(test["targets"]["hat"]["value"])


def test_a_direction_is_judged_on_the_targets_that_have_its_presets():
    cells = [
        finished("spf", numbers(noise=1)),
        finished("lora", numbers(noise=2, appearance=0.9)),
        finished("spf", numbers(noise=1), target="beard"),
        finished("naive", numbers(noise=3, appearance=0.9), target="beard"),
    ]
    tests = sign_tests({"all": make_tables(cells)})
    assert [list(test["targets"]) for test in tests] == [["beard"], ["hat"]]
    assert not any("mean" in test for test in tests)
    head, rows = sign_table(tests, ["hat", "beard"])
    assert head[2:] == ["hat", "beard", "mean"]
    assert [[cell.partition(":")[0] for cell in row[2:]] for row in rows] == [
        ["-", "holds", "-"],
        ["holds", "-", "-"],
    ]


def test_the_best_stands_out_only_when_its_interval_excludes_the_runner_up():
    def value(number, low, high):
        return {"value": number, "ci": [low, high]}

    clear, close = [value(50, 45, 55), value(60, 56, 64)], [value(50, 45, 55), value(54, 49, 59)]
    assert (winner(clear, "↑"), winner(clear, "↓")) == (1, 0)
    assert (winner(close, "↑"), winner(close, "↓"), winner(clear[:1], "↑")) == (None, None, None)
    table = make_tables([finished("spf", numbers()), finished("lora", numbers(appearance=0.9, noise=1))])[
        "hat"
    ]
    page = markdown(score_table({name: row.to_json() for name, row in table.items()}))
    spf = next(line for line in page.splitlines() if line.startswith("| spf "))
    assert spf.split(" | ")[1].startswith("**")


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("hat/*", ["hat/lora/seed-0", "hat/lora/seed-1"]),
        ("*/seed-1", ["hat/lora/seed-1", "beard/lora/seed-1"]),
        ("beard/lora/seed-0", ["beard/lora/seed-0"]),
    ],
)
def test_a_pattern_chooses_cells_by_target_preset_and_seed(only: str, names: list[str]):
    content = {"suite": "portraits", "targets": ["hat", "beard"], "presets": ["lora"], "seeds": [0, 1]}
    assert [cell.name for cell in chosen_cells(parse_benchmark(content, "file"), only)] == names


def test_a_preset_may_run_on_some_targets_and_seeds_only():
    some = {"preset": "naive", "targets": ["beard"], "seeds": [1]}
    content = {"suite": "portraits", "targets": ["hat", "beard"], "presets": ["lora", some], "seeds": [0, 1]}
    cells = [cell.name for cell in all_cells(parse_benchmark(content, "file"))]
    assert [name for name in cells if "naive" in name] == ["beard/naive/seed-1"]
    assert sum("lora" in name for name in cells) == 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"target_set": {"hut": []}}, "none of the targets"), ({"target_sets": {}}, "target_set")],
)
def test_settings_of_a_target_need_a_target(changed: dict, words: str):
    content = {"suite": "portraits", "targets": ["hat"], "presets": ["lora"], **changed}
    with pytest.raises(ConfigError, match=words):
        parse_benchmark(content, "file")


def claim_of(folder: Path, **changes) -> Path:
    """A claim as another process would have left it."""
    with claimed(folder):
        content = json.loads((folder / "claim-0").read_text())
    path = folder / "claim-0"
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def test_a_cell_is_held_by_one_process_at_a_time(tmp_path: Path):
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert first is not None
        assert second is None
        assert holder(tmp_path) == f"{platform.node()}, process {os.getpid()}"
    with claimed(tmp_path) as again:
        assert again is not None


def test_the_claim_of_a_dead_process_is_taken_over_by_one(tmp_path: Path):
    claim_of(tmp_path, born=0.0)
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert first is not None
        assert second is None


def test_another_host_is_believed_until_it_is_silent_for_long(tmp_path: Path):
    path = claim_of(tmp_path, host="elsewhere", born=0.0)
    with claimed(tmp_path) as early:
        assert early is None
    assert holder(tmp_path) == f"elsewhere, process {os.getpid()}"
    silent = path.stat().st_mtime - STALE_AFTER - 1
    os.utime(path, (silent, silent))
    with claimed(tmp_path) as late:
        assert late is not None
