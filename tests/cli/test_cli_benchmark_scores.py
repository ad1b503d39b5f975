"""What a benchmark's tables say of the literature's scores, and of the best of a family."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks import Finished, finish, report, times, write
from installing import PLUGIN_FILES
from pages import Page

pytestmark = pytest.mark.slow

PLUGIN = PLUGIN_FILES / "brightness.py"


def changed(settings: dict[str, Any], **family: str) -> dict[str, Any]:
    scores = [{"name": "brightness", "set": ["factor=0.5"]}, "lpips"]
    strong = {"name": "strong", "preset": "lora", "set": ["optimizer.learning_rate=0.1"], **family}
    return {
        **settings,
        "presets": ["naive", {"name": "lora", "preset": "lora", **family}, strong],
        "seeds": [0, 1],
        "plugins": [str(PLUGIN)],
        "evaluation": {"prompts": 3, "seeds": 1, "scores": scores, "strengths": [0.5, 1]},
    }


@pytest.fixture(scope="module")
def finished(spf, settings, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("scores")
    return finish(spf, "benchmark", changed(settings), folder, "--plugin", PLUGIN)


def test_the_chosen_scores_have_a_table_of_their_own(finished: Finished) -> None:
    page = (finished.out / "scores-hat.md").read_text(encoding="utf-8")
    assert "\n| preset | brightness ↑ | lpips |\n" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| strong |") and "not available" in line]
    assert row.count("[") == 1, "brightness with its interval"
    assert "\n- `lpips`: not available: " in page
    assert "$SPF_METRICS_HOME" in page


def test_a_pair_that_a_score_fails_on_is_named_and_the_others_count(finished: Finished) -> None:
    for row in report(finished.out)["targets"]["hat"]["presets"].values():
        found = row["scores"]["brightness"]
        assert found["pairs"] == 4, "two of three pairs, of two training seeds"
        assert found["failed"].keys() == {"0:0", "1:0"}
        assert all(
            told.startswith("ValueError: too dark. See brightness.py") for told in found["failed"].values()
        )
        assert found["ci"][0] <= found["value"] <= found["ci"][1]
        assert 0 < found["value"] < 255 / 2, "with its option"
    page = (finished.out / "scores-hat.md").read_text(encoding="utf-8")
    assert "lora failed on 2 of 6 pairs (pair 0:0: ValueError: too dark. See brightness.py" in page


def test_the_page_shows_them_too(spf, finished: Finished, tmp_path: Path) -> None:
    assert spf("report", finished.out, "--out", tmp_path / "page.html").code == 0
    page = Page(tmp_path / "page.html")
    page.stands_alone()
    assert "mean of all pixels" in page.text
    assert "Overview" in page.text
    alts = [each["alt"] or "" for each in page.all("img")]
    assert any(alt.startswith("Leakage on hat: naive most in ") for alt in alts)


def test_strengths_give_a_curve_over_all_training_seeds(finished: Finished) -> None:
    for row in report(finished.out)["targets"]["hat"]["presets"].values():
        assert [point["strength"] for point in row["frontier"]] == [0.5, 1.0]
        assert set(row["frontier"][0]) == {"strength", "effect", "spi", "sps"}


def test_the_best_of_a_family_is_named_as_chosen_afterwards(
    spf, settings, finished: Finished, tmp_path: Path
) -> None:
    file = write(tmp_path / "family.yaml", changed(settings, family="rank"))
    before = times(finished.out / "cells")
    done = spf("benchmark", file, "--out", finished.out, "--plugin", PLUGIN)
    assert done.code == 0, done.err
    assert times(finished.out / "cells") == before, "a family changes no cell"
    found = report(finished.out)
    rows, best = found["targets"]["hat"]["presets"], found["best_of_families"]["rank"]
    name = best["chosen"]["hat"]
    assert rows[name]["sps"]["value"] == max(rows[each]["sps"]["value"] for each in ("lora", "strong"))
    assert best["sps"] == rows[name]["sps"]
    page = (finished.out / "results.md").read_text(encoding="utf-8")
    assert f"\n| rank, best: {name} † | " in page
    assert "on these same prompts" in page
    assert yaml.safe_load((finished.out / "benchmark.yaml").read_text())["presets"][1]["family"] == "rank"
