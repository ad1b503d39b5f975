"""`spf benchmark`: from one file to tables, and what a finished folder refuses or takes."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from benchmarks import (
    CELLS,
    STRONG,
    Finished,
    cell_lines,
    change_record,
    finish,
    finished_cells,
    report,
    times,
    write,
)
from pages import Page
from PIL import Image

PICTURES = {
    "results.md": ("sps.png", "plane-hat.png", "grid-hat.webp", "worst-hat.webp"),
    "scores-hat.md": ("leakage-hat.png", "ablations-hat.png"),
}
MADE = ("results.json", "scores.md", *PICTURES, *(name for names in PICTURES.values() for name in names))
HEADLINE = ("sps", "effect", "spi", "delta_spi", "rec", "hit_rate", "base_leak")


@pytest.fixture(scope="module")
def finished(spf, settings, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(spf, "benchmark", settings, tmp_path_factory.mktemp("benchmark"))


def test_every_cell_is_trained_evaluated_and_told_in_one_line(finished) -> None:
    out = finished.out
    assert finished_cells(out) == CELLS
    assert cell_lines(finished.said) == [
        "hat/lora/seed-0", "hat/strong/seed-0", "hat/lora/seed-1", "hat/strong/seed-1"
    ]  # fmt: skip
    assert finished.said.startswith(
        "4 cells to train and evaluate; the folder keeps every finished one (0 now)\n"
    )
    line = next(line for line in finished.said.splitlines() if "/seed-" in line)
    assert all(f"  {name} " in line for name in ("SPS", "hit", "leak"))
    assert not list(out.rglob("claim-*"))
    for cell in CELLS:
        config = yaml.safe_load((out / "cells" / cell / "run" / "config.yaml").read_text())
        assert config["train"]["seed"] == int(cell[-1])
        assert config["data"] == str(out / "data" / "hat")
        assert config["optimizer"]["learning_rate"] == (0.1 if "strong" in cell else 5e-4)


def test_finished_cells_are_kept_and_tell_how_long_the_others_take(spf, copied: Path, finished) -> None:
    again = spf("benchmark", finished.file, "--out", copied)
    assert again.out.startswith("all 4 cells are finished; none is trained again\n")
    (copied / "cells" / CELLS[0] / "record.json").unlink()
    again = spf("benchmark", finished.file, "--out", copied)
    assert again.code == 0, again.err
    first = again.out.splitlines()[0]
    assert re.fullmatch(
        r"1 cells to train and evaluate, in about \d+:\d\d:\d\d if one process does it alone; "
        r"the folder keeps every finished one \(3 now\)",
        first,
    )
    assert cell_lines(again.out) == [CELLS[0]]


def test_results_pool_training_seeds_with_intervals_and_costs(finished) -> None:
    found = report(finished.out)
    assert (found["suite_label"], found["missing"], found["reference"]) == ("embedded portraits", [], "lora")
    for row in found["targets"]["hat"]["presets"].values():
        assert all(set(row[name]) == {"value", "ci"} for name in HEADLINE)
        assert (row["n_prompts"], row["n_seeds"], row["training_seeds"]) == (3, 1, [0, 1])
        assert min(row["seconds_per_step"], row["peak_memory_mib"], row["trainable_parameters"]) > 0
    tests = found["targets"]["hat"]["paired_tests"]
    assert [test["measure"] for test in tests] == ["sps", "spi", "effect"]
    assert all(test["p_holm"] >= test["p"] >= 1 / 8 for test in tests), "three prompts: eight exchanges"


def test_the_page_shows_tables_and_figures(finished) -> None:
    out = finished.out
    page, scores = ((out / name).read_text(encoding="utf-8") for name in ("results.md", "scores-hat.md"))
    assert page.startswith("# Benchmark: embedded portraits\n")
    assert all(f"\n| {name} | " in page for name in ("preset", "lora", "strong", "*perfect edit*"))
    assert all(f"\n| {name} | " in scores for name in ("preset", "lora", "strong", "against"))
    assert "| explicit: SPS ↑ | explicit: E ↑ |" in scores
    for name, pictures in PICTURES.items():
        for picture in pictures:
            assert f"]({picture})" in (out / name).read_text(encoding="utf-8")
            with Image.open(out / picture) as opened:
                assert min(opened.size) > 200
    assert page.index("## Overview") < page.index("## hat") < page.index("## Sign tests")
    shown = report(out)["targets"]["hat"]["pictures"]["grid"]
    first = (out / "cells/hat/lora/seed-0/evaluation/pairs.jsonl").read_text().splitlines()
    assert [json.loads(line)["complete_text"] for line in first] == shown["prompts"]
    assert [json.loads(line)["noise"] for line in first] == shown["noise_seeds"]
    assert shown["training_seeds"] == {"lora": 0, "strong": 0}


def test_its_pictures_serve_a_user_study(spf, finished, tmp_path: Path) -> None:
    made = spf("study", "build", finished.out, "--out", tmp_path / "study", "--trials", 3, "--raters", 2)
    assert made.code == 0, made.err
    assert "compared: lora, strong" in made.out
    key = json.loads((tmp_path / "study" / "key.json").read_text())
    assert {scene["target"] for scene in key["scenes"]} == {"hat"}
    assert all(Path(origin.split(": ")[1]).is_file() for origin in key["pictures"].values())


def test_the_report_compares_every_preset_in_one_page(spf, finished, tmp_path: Path) -> None:
    done = spf("report", finished.out, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = Page(tmp_path / "page.html")
    page.stands_alone()
    alts = [each["alt"] or "" for each in page.all("img")]
    for name, row in report(finished.out)["targets"]["hat"]["presets"].items():
        assert f"{row['sps']['value']:.1f} [" in page.text
        assert sum(alt.startswith(f"{name}, complete text") for alt in alts) == 3, "one for each prompt"
        assert any(f"Change from the base model, {name}" in alt for alt in alts)
    assert any(alt.startswith("SPS: lora less the other on hat") for alt in alts)
    assert "No attention maps: 'hat' lies beyond the 77 tokens" in page.text, (
        "the tiny tokenizer cuts long texts"
    )
    assert report(finished.out)["model_hash"] in page.text


def test_a_second_call_computes_no_cell_again(spf, finished) -> None:
    file, out = finished.file, finished.out
    before = times(out / "cells")
    assert spf("benchmark", file, "--out", out).code == 0
    assert times(out / "cells") == before


def test_tables_are_rebuilt_from_finished_cells_alone(spf, finished, copied: Path) -> None:
    file, out = finished.file, finished.out
    for made in MADE:
        (copied / made).unlink()
    shutil.rmtree(copied / "cells/hat/strong/seed-1")
    done = spf("benchmark", file, "--out", copied, "--report-only")
    assert done.code == 0, done.err
    assert report(copied)["missing"] == ["hat/strong/seed-1"]
    assert "**Incomplete**" in (copied / "results.md").read_text()
    shutil.copytree(out / "cells", copied / "cells", dirs_exist_ok=True)
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert report(copied) == report(out)


def test_one_training_seed_scores_what_evaluate_says(spf, settings, finished, tmp_path: Path) -> None:
    file, out = (
        write(tmp_path / "one.yaml", {**settings, "presets": ["lora"], "seeds": [1]}),
        tmp_path / "out",
    )
    shutil.copytree(finished.out / "cells/hat/lora/seed-1", out / "cells/hat/lora/seed-1")
    shutil.copy(file, out / "benchmark.yaml")
    assert spf("benchmark", file, "--out", out, "--report-only").code == 0
    run = out / "cells/hat/lora/seed-1/run"
    said = spf("evaluate", run, "--out", tmp_path / "said", "--prompts", 3, "--seeds", 1)
    assert said.code == 0, said.err
    expected, row = report(tmp_path / "said"), report(out)["targets"]["hat"]["presets"]["lora"]
    for name in HEADLINE:
        assert row[name]["value"] == pytest.approx(expected[name]["value"], rel=1e-4, abs=1e-5), name
        assert row[name]["ci"] == pytest.approx(expected[name]["ci"], rel=1e-4, abs=1e-5), name
    for part, value in expected["parts"].items():
        assert row["parts"][part]["value"] == pytest.approx(value["value"], abs=1e-5), part


def test_the_table_says_where_each_preset_took_over(spf, finished: Finished, copied: Path) -> None:
    assert report(copied)["sampling"]["handover"] == 1
    for seed, handover in ((0, 0.4), (1, 0.25)):
        change_record(
            copied / "cells/hat/strong" / f"seed-{seed}",
            lambda content, value=handover: content["results"]["sampling"].update(handover=value),
        )
    assert spf("benchmark", finished.file, "--out", copied, "--report-only").code == 0
    assert report(copied)["sampling"].keys() == report(finished.out)["sampling"].keys() - {"handover"}
    lines = [line for line in (copied / "scores-hat.md").read_text().splitlines() if " 0.25 to 0.4 " in line]
    assert [line.split("|")[1].strip() for line in lines] == ["strong"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 2}, ("'steps' was 1 and is 2 now",)),
        ({"evaluation": {"prompts": 4, "seeds": 1}}, ("'evaluation' was", "'prompts': 4")),
        ({"seeds": [1]}, ("'seeds' had 0",)),
        ({"presets": ["lora"]}, ("'presets' had 'strong'",)),
        ({"presets": ["lora", {**STRONG, "set": []}]}, ("preset 'strong' was", "learning_rate")),
    ],
)
def test_a_changed_file_is_refused(spf, settings, finished, tmp_path: Path, change, words) -> None:
    file = write(tmp_path / "other.yaml", {**settings, **change})
    before = times(finished.out)
    assert spf("benchmark", file, "--out", finished.out).fails_with(*words, "another --out")
    assert times(finished.out) == before


def test_a_preset_without_cells_may_change(spf, settings, copied: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "other.yaml", {**settings, "presets": ["lora", {**STRONG, "set": []}]})
    for folder in (copied / "cells").glob("*/strong"):
        shutil.rmtree(folder)
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert yaml.safe_load((copied / "benchmark.yaml").read_text())["presets"][1]["set"] == []


def test_presets_targets_and_seeds_may_be_added(spf, settings, copied: Path, tmp_path: Path) -> None:
    more = {"presets": ["naive", "lora", STRONG], "targets": ["beard", "hat"], "seeds": [0, 1, 2]}
    file = write(tmp_path / "more.yaml", {**settings, **more})
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert len(report(copied)["missing"]) == 18 - 4
    assert yaml.safe_load((copied / "benchmark.yaml").read_text())["targets"] == ["beard", "hat"]


def test_a_preset_may_be_spared_cells_later(spf, settings, copied: Path, tmp_path: Path) -> None:
    more = {"presets": ["lora", {**STRONG, "targets": ["hat"], "seeds": [0]}], "targets": ["hat", "beard"]}
    file = write(tmp_path / "fewer.yaml", {**settings, **more})
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert report(copied)["missing"] == ["beard/lora/seed-0", "beard/lora/seed-1"]
