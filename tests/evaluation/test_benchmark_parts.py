"""Parts of a benchmark's report on numbers made up for them: pooled scores, leaks, colours and packing."""

import json

import numpy as np
import pytest
from test_benchmark import finished, numbers

from spf_lab.benchmark.analysis import make_tables
from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.effect_purity_plot import spread
from spf_lab.benchmark.leaks import frontier_row, leakage_row
from spf_lab.benchmark.literature import pooled_scores
from spf_lab.benchmark.literature_table import literature_notes, literature_table
from spf_lab.benchmark.overview import best_of_families, mean_over_targets
from spf_lab.benchmark.packing import pack, rounded, unpack
from spf_lab.benchmark.spec import parse_benchmark
from spf_lab.benchmark.styles import PALETTE, related, styles
from spf_lab.benchmark.tables import overview_table, shown_by_original

FACTS = {"meaning": "a mean", "better": "lower", "note": "", "pairs": 80, "failed": {}}
NOTHING = {"value": None, "ci": [None, None]}


def scored(value: float, seed: int = 0, *, pairs: list[float] | None = None, **facts) -> Finished:
    """A cell with one score `x`, pair by pair where `pairs` are given."""
    found = finished("spf", numbers(), seed=seed)
    estimate = {"value": value, "ci": [value - 1, value + 1]}
    found.results["scores"] = {"x": {**estimate, "original": NOTHING, **FACTS, **facts}}
    rows = [{"scores": {} if pairs is None else {"x": each}} for each in pairs or [0.0] * 80]
    return Finished(found.cell, found.results, found.numbers, (), found.cost, rows)


def test_pairs_of_all_training_seeds_are_pooled() -> None:
    low, high = scored(0.0, pairs=[0.0] * 80), scored(1.0, seed=1, pairs=[1.0] * 80)
    found = pooled_scores([low, high])["x"]
    assert (found["value"], found["ci"], found["pairs"]) == (0.5, [0.5, 0.5], 160)


def test_a_root_is_taken_after_pooling() -> None:
    cells = [scored(1.0, seed, pairs=[value] * 80, root=True) for seed, value in enumerate((9.0, 23.0))]
    assert pooled_scores(cells)["x"]["value"] == pytest.approx(4.0)


def test_distances_of_sets_are_averaged_with_the_ends_of_their_intervals() -> None:
    found = pooled_scores([scored(2.0), scored(4.0, seed=1)])["x"]
    assert (found["value"], found["ci"]) == (3.0, [2.0, 4.0])


def test_what_one_training_seed_lacks_is_not_available() -> None:
    lacking = scored(2.0, seed=1)
    lacking.results["scores"]["x"] = {**NOTHING, "not_available": "no weights"}
    found = pooled_scores([scored(2.0), lacking])["x"]
    assert found == {**NOTHING, "not_available": "training seed 1: no weights"}


def test_the_table_of_scores_says_what_is_missing_and_why() -> None:
    rows = {
        "spf": {"scores": pooled_scores([scored(2.0)])},
        "lora": {"scores": pooled_scores([scored(5.0, failed={"3": "no face"})])},
        "naive": {"scores": {"x": {**NOTHING, "not_available": "no weights"}}},
    }
    head, body = literature_table(rows)
    assert head == ["preset", "x ↓"]
    assert [line[1] for line in body] == ["**2.00 [1.00, 3.00]**", "5.00 [4.00, 6.00]", "not available"]
    notes = literature_notes(rows)
    assert notes[1] == "`x`: not available for `naive`: no weights."
    assert "lora failed on 1 of 81 pairs (pair 3: no face)" in notes[0]


def leak(value: float, q: float, spread: float = 0.1) -> dict:
    """A value whose leakage is `value`, where re-seeding has the standard deviation `spread`."""
    shift = {"value": 100 * value * spread, "ci": [0.0, 0.0]}
    return {"shift": shift, "value": value, "ci": [value - 1, value + 1], "q": q}


def test_a_rare_value_does_not_decide_how_far_an_attribute_shifts() -> None:
    hair = {"red": leak(9.0, 0.4, spread=0.01), "blue": leak(-1.0, 0.3, spread=0.29), "none": leak(0.0, 0.9)}
    found = leakage_row([{"leakage": {"hair": hair}, "allowed_attributes": ["hair"]}])["hair"]
    assert found["value"] == pytest.approx((0.09 + 0.29) / (0.01 + 0.29))
    assert (found["of"], found["allowed"]) == ("blue", True)
    assert found["shift"] == pytest.approx(-29)


def test_a_leak_counts_when_every_training_seed_agrees_on_a_value() -> None:
    one = {"leakage": {"hair": {"red": leak(1.0, 0.01), "blue": leak(-1.0, 0.5)}}}
    two = {"leakage": {"hair": {"red": leak(2.0, 0.2), "blue": leak(-2.0, 0.04)}}}
    assert leakage_row([one, two])["hair"]["q"] == 0.2
    assert leakage_row([one, two])["hair"]["value"] == pytest.approx(1.5)
    assert leakage_row([one])["hair"]["q"] == 0.01


def test_frontiers_are_averaged_strength_by_strength_and_absent_where_a_seed_has_none() -> None:
    def curve(*effects: float) -> dict:
        points = [
            {"strength": number, **{name: leak(effect, 0) for name in ("effect", "spi", "sps")}}
            for number, effect in enumerate(effects)
        ]
        return {"frontier": {"points": points}}

    found = frontier_row([curve(0.0, 0.4), curve(0.0, 0.8)])
    assert [point["effect"]["value"] for point in found] == pytest.approx([0.0, 0.6])
    assert frontier_row([curve(0.0, 0.4), {}]) == []


SPEC = {
    "suite": "portraits",
    "targets": ["hat", "beard"],
    "presets": [
        "naive",
        "spf",
        "spf-no-sfcm",
        {"preset": "lora", "name": "lora-2", "family": "lora"},
        {"preset": "lora", "name": "lora-9", "family": "lora"},
    ],
}


def test_the_best_of_a_family_is_chosen_on_each_target() -> None:
    cells = [
        finished(name, numbers(effect=effect), target=target)
        for target, effects in {"hat": (0.3, 0.9), "beard": (0.8, 0.2)}.items()
        for name, effect in zip(("lora-2", "lora-9"), effects, strict=True)
    ]
    tables = make_tables(cells)
    best = best_of_families(parse_benchmark(SPEC, "file"), tables)
    assert best["lora"]["chosen"] == {"hat": "lora-9", "beard": "lora-2"}
    expected = np.mean(
        [tables["hat"]["lora-9"].measure("sps")[0], tables["beard"]["lora-2"].measure("sps")[0]]
    )
    assert best["lora"]["sps"]["value"] == pytest.approx(expected)
    head, body = overview_table(mean_over_targets(tables, {}), best)
    assert head[-5:] == ["device", "s/step", "s/run", "peak MiB", "parameters"]
    assert body[-1][0] == "lora, best of each target †"
    assert not any(cell.startswith("**") for cell in body[-1])


def test_colours_belong_to_families_and_the_reference_has_the_first() -> None:
    presets = parse_benchmark(SPEC, "file").plain()["presets"]
    looks = styles(presets, "spf")
    assert looks["spf"].colour == looks["spf-no-sfcm"].colour == PALETTE[0]
    assert looks["lora-2"].colour == looks["lora-9"].colour != looks["naive"].colour
    assert [look.number for look in looks.values()] == [1, 2, 3, 4, 5]
    results = {"benchmark": {"presets": presets}, "reference": "spf"}
    assert related(results, looks) == ["spf", "spf-no-sfcm"]
    assert related(results, {"spf": 0, "naive": 0}) == []


def test_labels_of_close_points_are_apart() -> None:
    points = np.repeat([[0.95, 0.9], [0.2, 0.2]], [8, 1], axis=0)
    places = spread(points, 0.036)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(9)
    assert gaps.min() > 0.02
    assert places.min() >= 0
    assert places.max() <= 1


def test_rows_packed_into_columns_come_back() -> None:
    rows = [{"text": "a", "tau": {"a": 0.1, "c": None}}, {"text": "b", "tau": {"a": 0.2, "c": 1.0}}]
    assert unpack(json.loads(json.dumps(pack(rows))), 2) == rows
    assert rounded({"x": [0.123456789, 7, None, "0.1"], "y": 123456.789}) == {
        "x": [0.12346, 7, None, "0.1"],
        "y": 123460.0,
    }


def test_what_the_original_shows_is_not_read_beside_a_handover() -> None:
    names = ("hit_rate_original", "base_leak_original", "sps_original")
    late, whole = (
        {"handover": handovers, **{name: {"value": value} for name, value in zip(names, values, strict=True)}}
        for handovers, values in (([0.3, 1.0], (0.3, 0.0, 20.0)), ([1.0], (0.9, 0.1, 60.0)))
    )
    said = shown_by_original({"spf": late, "lora": whole})
    assert "in 90% of the images" in said
    assert "(SPS 60), and in 10% when" in said
    unknown = {**whole, **{name: {"value": None} for name in names}}
    assert "No judge recognises the target" in shown_by_original({"lora": unknown})
