"""`spf benchmark --pack`: finished cells in one file for each target, which serves as their records do."""

import gzip
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from benchmarks import CELLS, Finished, cell_lines, change_record, report, times, write
from pages import Page

pytestmark = pytest.mark.slow

MADE = (
    "results.json",
    "results.md",
    "scores-hat.md",
    "scores.md",
    "sps.png",
    "grid-hat.webp",
    "worst-hat.webp",
)


@pytest.fixture(scope="module")
def finished(spf, settings, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A benchmark whose cells are packed; its runs and evaluations are still there."""
    folder = tmp_path_factory.mktemp("benchmark")
    file, out = write(folder / "small.yaml", settings), folder / "out"
    done = spf("benchmark", file, "--out", out, "--pack")
    assert done.code == 0, done.err
    return Finished(file, out, done.out)


@pytest.fixture
def published(finished: Finished, tmp_path: Path) -> Path:
    """What git would hold: the folder without runs, evaluations and training data."""
    ignored = shutil.ignore_patterns("run", "evaluation", "data")
    copy = shutil.copytree(finished.out, tmp_path / "published", ignore=ignored)
    shutil.rmtree(copy / "cells" / "hat")
    return copy


def unpack(out: Path) -> None:
    archive = out / "cells" / "hat.tar.xz"
    subprocess.run(["tar", "-xf", archive.name], cwd=archive.parent, check=True)  # as the docs tell users
    archive.unlink()


def names(out: Path) -> list[str]:
    with tarfile.open(out / "cells" / "hat.tar.xz") as tar:
        return tar.getnames()


def test_an_archive_holds_every_record_and_the_pictures_that_the_page_shows(finished: Finished) -> None:
    assert cell_lines(finished.said), "cells are named while they run"
    held = [f"{cell}/record.json" for cell in CELLS]
    held += [f"hat/{name}/seed-0/pictures.webp" for name in ("lora", "strong")]
    assert names(finished.out) == sorted(held)
    assert not list((finished.out / "cells" / "hat").rglob("record.json"))
    assert (finished.out / "cells" / CELLS[0] / "run" / "config.yaml").is_file()


def test_a_published_folder_gives_the_same_files_and_trains_nothing(
    spf, finished: Finished, published: Path
) -> None:
    before = {name: (published / name).read_bytes() for name in MADE}
    archive = times(published / "cells")
    for name in before:
        (published / name).unlink()
    for more in (("--report-only",), ()):
        assert spf("benchmark", finished.file, "--out", published, *more).code == 0
        assert {name: (published / name).read_bytes() for name in before} == before
    assert times(published / "cells") == archive
    assert not (published / "data").exists(), "no cell is left to train"


def test_the_same_cells_are_packed_into_the_same_bytes(spf, finished: Finished, published: Path) -> None:
    before = (published / "cells" / "hat.tar.xz").read_bytes()
    again = spf("benchmark", finished.file, "--out", published, "--report-only", "--pack")
    assert again.code == 0, again.err
    assert (published / "cells" / "hat.tar.xz").read_bytes() == before


def test_an_unpacked_archive_serves_as_before(spf, finished: Finished, published: Path) -> None:
    before = report(published)
    unpack(published)
    assert spf("benchmark", finished.file, "--out", published, "--report-only").code == 0
    assert report(published) == before


def test_new_cells_join_the_archive(spf, settings, published: Path, tmp_path: Path) -> None:
    before = report(published)["targets"]["hat"]["presets"]
    more = {**settings, "presets": [*settings["presets"], {"preset": "naive", "seeds": [0]}]}
    done = spf("benchmark", write(tmp_path / "more.yaml", more), "--out", published, "--pack")
    assert done.code == 0, done.err
    assert [line.split("/seed")[0] for line in cell_lines(done.out)] == ["hat/naive"]
    assert "hat/naive/seed-0/record.json" in names(published)
    now = report(published)["targets"]["hat"]["presets"]
    assert {name: now[name]["sps"] for name in before} == {name: row["sps"] for name, row in before.items()}


def test_a_loose_record_comes_before_the_packed_one(spf, finished: Finished, published: Path) -> None:
    packed = (published / "cells" / "hat.tar.xz").read_bytes()
    unpack(published)
    (published / "cells" / "hat.tar.xz").write_bytes(packed)
    changes = {"handover": 0.25}
    change_record(
        published / "cells/hat/strong/seed-1", lambda content: content["results"]["sampling"].update(changes)
    )
    assert spf("benchmark", finished.file, "--out", published, "--report-only").code == 0
    assert report(published)["targets"]["hat"]["presets"]["strong"]["handover"] == [1.0, 0.25]


@pytest.mark.parametrize("damage", ["cut", "text", "folder"])
def test_a_damaged_archive_is_named(spf, finished: Finished, published: Path, damage: str) -> None:
    archive = published / "cells" / "hat.tar.xz"
    if damage == "cut":
        archive.write_bytes(archive.read_bytes()[:-200])
    elif damage == "text":
        archive.write_bytes(b"nothing")
    else:
        archive.unlink()
        archive.mkdir()
    for more in ((), ("--report-only",)):
        refused = spf("benchmark", finished.file, "--out", published, *more)
        assert refused.fails_with(str(archive), "is damaged", "run the benchmark again")
    assert spf("report", published).fails_with(str(archive), "is damaged")


def test_settings_that_changed_since_name_the_archive(spf, finished: Finished, published: Path) -> None:
    unpack(published)
    change_record(
        published / "cells/hat/lora/seed-0",
        lambda content: content["settings"]["optimizer"].update(learning_rate=0.0004),
    )
    assert spf("benchmark", finished.file, "--out", published, "--report-only", "--pack").code == 0
    refused = spf("benchmark", finished.file, "--out", published)
    assert refused.fails_with("hat/lora/seed-0", "0.0005 now", "unpack hat.tar.xz with tar -xf")


def test_a_packed_preset_may_not_change(spf, settings, published: Path, tmp_path: Path) -> None:
    changed = {"name": "strong", "preset": "lora", "set": []}
    file = write(tmp_path / "other.yaml", {**settings, "presets": ["lora", changed]})
    assert spf("benchmark", file, "--out", published).fails_with("preset 'strong' was", "another --out")


def test_records_of_an_earlier_version_are_refused_with_the_way_out(
    spf, finished: Finished, published: Path
) -> None:
    unpack(published)
    record = published / "cells/hat/lora/seed-0/record.json"
    record.with_suffix(".json.gz").write_bytes(gzip.compress(record.read_bytes()))
    record.unlink()
    assert spf("benchmark", finished.file, "--out", published).fails_with("earlier version", "gunzip")


def test_the_page_of_a_published_folder_shows_its_grid(spf, published: Path, tmp_path: Path) -> None:
    assert spf("report", published, "--out", tmp_path / "page.html").code == 0
    page = Page(tmp_path / "page.html")
    page.stands_alone()
    assert any("hat: the first prompts, by the base model" in (each["alt"] or "") for each in page.all("img"))


def test_a_study_says_that_it_needs_the_pictures(spf, published: Path, tmp_path: Path) -> None:
    refused = spf("study", "build", published, "--out", tmp_path / "study")
    assert refused.fails_with("hat/lora/seed-0/evaluation", "needs the pictures", "spf benchmark")
