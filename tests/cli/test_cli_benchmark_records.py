"""A finished cell is a small record: it may be moved and committed, and replaces runs and evaluations."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from benchmarks import (
    CELLS,
    Finished,
    cell_lines,
    change_record,
    finish,
    finished_cells,
    read_record,
    report,
    times,
    write,
)
from pages import Page

from spf_lab.benchmark import grids

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(spf, settings, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(spf, "benchmark", settings, tmp_path_factory.mktemp("benchmark"))


@pytest.fixture
def cloned(finished: Finished, tmp_path: Path) -> Path:
    """What git would give another machine: the folder without what its .gitignore names."""
    copy = shutil.copytree(finished.out, tmp_path / "clone" / "out")
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    subprocess.run(["git", "clean", "-fdXq"], cwd=copy, check=True)
    shutil.rmtree(copy / ".git")
    return copy


def test_a_clone_holds_records_and_one_sheet_for_each_preset_of_the_first_seed(cloned: Path) -> None:
    kept = sorted(file.relative_to(cloned / "cells").as_posix() for file in times(cloned / "cells"))
    sheets = [f"{cell}/pictures.webp" for cell in CELLS if cell.endswith("seed-0")]
    assert kept == sorted([*(f"{cell}/record.json" for cell in CELLS), *sheets])
    assert not (cloned / "data").exists()
    assert all(file.stat().st_size < 30_000 for file in times(cloned / "cells"))


def test_a_record_names_no_place_of_the_machine(finished: Finished) -> None:
    for cell in CELLS:
        content = read_record(finished.out / "cells" / cell)
        content["settings"]["backbone"]["path"] = None  # chosen by the benchmark's file
        assert str(finished.out.parent) not in json.dumps(content)
        assert set(content["cost"]) >= {"seconds", "peak_memory_mib", "evaluation_seconds"}
        assert content["cost"]["evaluation_seconds"] > 0


def test_a_clone_gives_the_same_tables_and_trains_nothing(spf, finished: Finished, cloned: Path) -> None:
    before = times(cloned / "cells")
    for made in ("results.json", "results.md", "sps.png", "grid-hat.webp", "worst-hat.webp"):
        (cloned / made).unlink()
    assert spf("benchmark", finished.file, "--out", cloned, "--report-only").code == 0
    assert report(cloned) == report(finished.out)
    for made in ("grid-hat.webp", "worst-hat.webp"):
        assert (cloned / made).read_bytes() == (finished.out / made).read_bytes()
    assert spf("benchmark", finished.file, "--out", cloned).code == 0
    assert times(cloned / "cells") == before
    assert not (cloned / "data").exists(), "no cell is left to train"


def test_only_what_a_clone_lacks_is_trained(spf, finished: Finished, cloned: Path) -> None:
    shutil.rmtree(cloned / "cells/hat/strong/seed-1")
    before = times(cloned / "cells")
    assert spf("benchmark", finished.file, "--out", cloned).code == 0
    assert finished_cells(cloned) == CELLS
    assert {file: when for file, when in times(cloned / "cells").items() if file in before} == before
    one, two = (read_record(out / "cells/hat/strong/seed-1") for out in (cloned, finished.out))
    assert one["pairs"] == two["pairs"]


def test_the_page_of_a_clone_shows_pictures(spf, finished: Finished, cloned: Path, tmp_path: Path) -> None:
    done = spf("report", cloned, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = Page(tmp_path / "page.html")
    page.stands_alone()
    alts = [each["alt"] or "" for each in page.all("img")]
    for name in ("lora", "strong"):
        assert sum(alt.startswith(f"{name}, complete text") for alt in alts) == 3, "one for each prompt"
    assert "No attention maps: this folder does not contain the run of lora" in page.text


def test_a_study_says_that_it_needs_the_pictures(spf, cloned: Path, tmp_path: Path) -> None:
    refused = spf("study", "build", cloned, "--out", tmp_path / "study")
    assert refused.fails_with("hat/lora/seed-0/evaluation", "needs the pictures", "spf benchmark")


def test_a_finished_evaluation_without_a_record_is_not_repeated(
    spf, finished: Finished, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(finished.out, tmp_path / "out"))
    record = copy / "cells/hat/lora/seed-0/record.json"
    whole = record.read_bytes()
    record.unlink()
    before = times(copy / "cells/hat/lora/seed-0/evaluation")
    assert spf("benchmark", finished.file, "--out", copy).code == 0
    assert times(copy / "cells/hat/lora/seed-0/evaluation") == before
    assert record.read_bytes() == whole, "the same files give the same record"


@pytest.mark.parametrize("damage", ["cut", "other cell", "fewer pairs", "text", "schema"])
def test_a_damaged_record_is_named(spf, finished: Finished, cloned: Path, damage: str) -> None:
    cell = cloned / "cells/hat/lora/seed-1"
    file = cell / "record.json"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "text":
        file.write_bytes(b"{")
    else:
        changes = {
            "other cell": {"cell": "hat/lora/seed-7"},
            "fewer pairs": {"count": 2},
            "schema": {"schema": 99},
        }
        change_record(cell, lambda content: content.update(changes[damage]))
    for more in ((), ("--report-only",)):
        refused = spf("benchmark", finished.file, "--out", cloned, *more)
        assert refused.fails_with("hat/lora/seed-1", "is damaged", "delete that folder")


def test_a_noise_floor_of_a_cpu_is_refused(spf, finished: Finished, cloned: Path) -> None:
    """The pictures of the original that distances start at were not those that the process drew."""
    cell = cloned / "cells/hat/lora/seed-1"
    assert set(read_record(cell)["results"]["calibration"]["floor"].values()) == {0.0}
    change_record(cell, lambda content: content["results"]["calibration"]["floor"].update(layout=0.0143))
    for more in ((), ("--report-only",)):
        refused = spf("benchmark", finished.file, "--out", cloned, *more)
        assert refused.fails_with(
            "hat/lora/seed-1", "floor layout=0.0143 on a CPU", "evaluate again", "delete that folder"
        )


def test_a_sheet_that_is_lost_is_named(spf, finished: Finished, cloned: Path) -> None:
    (cloned / "cells/hat/lora/seed-0/pictures.webp").write_bytes(b"x")
    refused = spf("benchmark", finished.file, "--out", cloned, "--report-only")
    assert refused.fails_with("hat/lora/seed-0", "is damaged", "pictures.webp")


def test_a_preset_that_changed_since_is_not_mixed_in(spf, finished: Finished, cloned: Path) -> None:
    def slower(content) -> None:
        content["settings"]["optimizer"]["learning_rate"] = 0.0004

    change_record(cloned / "cells/hat/lora/seed-0", slower)
    refused = spf("benchmark", finished.file, "--out", cloned)
    assert refused.fails_with("hat/lora/seed-0", "optimizer.learning_rate=0.0004", "0.0005 now")


def test_the_reference_comes_first_and_the_others_keep_its_worst_pairs(
    spf, settings, cache: None, tmp_path: Path
) -> None:
    changes = {
        "presets": ["lora", {"name": "spf", "preset": "lora", "set": ["optimizer.learning_rate=0.1"]}],
        "evaluation": {"prompts": 20, "seeds": 1, "keep": 1},
        "seeds": [0],
    }
    file, out = write(tmp_path / "small.yaml", {**settings, **changes}), tmp_path / "out"
    done = spf("benchmark", file, "--out", out)
    assert done.code == 0, done.err
    assert cell_lines(done.out) == ["hat/spf/seed-0", "hat/lora/seed-0"]
    reference, other = (read_record(out / f"cells/hat/{name}/seed-0") for name in ("spf", "lora"))
    spi = reference["pairs"]["spi"]
    worst = sorted(range(20), key=lambda pair: -spi[pair])[:10]
    assert reference["pictures"]["tiles"]["prompted"] == worst
    assert set(worst) <= set(other["pictures"]["tiles"]["tuned"])
    shown = report(out)["targets"]["hat"]["pictures"]["worst"]
    assert shown["training_seeds"] == {"spf": 0, "lora": 0}
    assert shown["noise_seeds"] == [reference["pairs"]["noise"][pair] for pair in worst]


def test_a_preset_without_pictures_is_left_out_of_the_grid_and_named(
    spf, finished: Finished, cloned: Path
) -> None:
    shutil.rmtree(cloned / "cells/hat/strong/seed-0")
    assert spf("benchmark", finished.file, "--out", cloned, "--report-only").code == 0
    assert report(cloned)["targets"]["hat"]["pictures"]["grid"]["training_seeds"] == {"lora": 0}
    page = " ".join((cloned / "results.md").read_text(encoding="utf-8").split())
    assert "highest SPS (without strong: no pictures kept):" in page


def test_the_folder_keeps_its_own_gitignore(spf, finished: Finished, cloned: Path) -> None:
    (cloned / ".gitignore").write_text("mine\n", encoding="utf-8")
    assert spf("benchmark", finished.file, "--out", cloned, "--report-only").code == 0
    assert (cloned / ".gitignore").read_text(encoding="utf-8") == "mine\n"


def test_presets_may_be_listed_in_another_order(spf, settings, cloned: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "other.yaml", {**settings, "presets": settings["presets"][::-1]})
    assert spf("benchmark", file, "--out", cloned).code == 0
    found = report(cloned)
    assert found["reference"] == "strong"
    assert set(found["targets"]["hat"]["pictures"]["worst"]["training_seeds"]) == {"strong", "lora"}


def test_of_many_presets_the_grid_shows_the_purest(
    spf, settings, cloned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = {"name": "idle", "preset": "lora", "set": ["optimizer.learning_rate=1e-12"], "seeds": [0]}
    monkeypatch.setattr(grids, "PUREST", 1)
    file = write(tmp_path / "more.yaml", {**settings, "presets": [*settings["presets"], idle]})
    assert spf("benchmark", file, "--out", cloned).code == 0
    found = report(cloned)
    reference, rows = found["reference"], found["targets"]["hat"]["presets"]
    others = sorted(set(rows) - {reference}, key=lambda name: -rows[name]["sps"]["value"])
    shown = found["targets"]["hat"]["pictures"]["grid"]
    assert set(shown["training_seeds"]) == {reference, others[0]}
    assert "![hat: original" in (cloned / "results.md").read_text(encoding="utf-8")


def test_a_row_that_trains_nothing_has_a_record_and_no_time_for_a_step(spf, settings, tmp_path: Path) -> None:
    file, out = tmp_path / "prompt.yaml", tmp_path / "out"
    late = {"preset": "prompt", "name": "prompt-late", "set": ["sample.handover=0.5"]}
    write(file, {**settings, "presets": ["lora", late], "seeds": [0]})
    done = spf("benchmark", file, "--out", out)
    assert done.code == 0, done.err
    found = report(out)["targets"]["hat"]["presets"]["prompt-late"]
    assert (found["steps"], found["seconds_per_step"], found["rec"]["value"]) == (0, None, 100)
    assert found["sps"] == found["sps_original"]
    lines = (out / "scores-hat.md").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("| prompt-late | "))
    assert "| - |" in line
    again = spf("report", out, "--out", tmp_path / "page.html")
    assert again.code == 0, again.err
