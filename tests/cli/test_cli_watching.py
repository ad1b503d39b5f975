"""`RUN/index.html`: a run shows itself while it trains, and training is what it would be without."""

from pathlib import Path

import pytest
from installing import PLUGIN_FILES
from pages import Page

from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors

OWN = "sample.validation_prompts=[{base_text: an old man, target_text: wearing a hat}]"
SHOWN = ("--steps", 5, "--set", "sample.every=2", "--set", "sample.prompts=2", "--set", OWN)
KEEPS = ("--plugin", PLUGIN_FILES / "keeps_pages.py")


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    done = spf("train", "--data", data, "--preset", "lora", "--out", out, *tiny, *SHOWN, *KEEPS)
    assert done.code == 0, done.err
    return out


def refreshes(page: Page) -> bool:
    return any(meta.get("http-equiv") == "refresh" for meta in page.all("meta"))


def test_a_finished_run_shows_its_end_and_its_grids_the_last_first(run: Path) -> None:
    page = Page(run / "index.html")
    assert not refreshes(page)
    assert "finished" in page.text
    assert "step 5 of 5" in page.text
    assert "spf evaluate run --out run/evaluation" in page.text
    names = [
        f"samples/step-00000{step}-{name}.png" for step in (4, 2) for name in ("grid", "prompts", "maps")
    ]
    assert [picture["src"] for picture in page.all("img")] == names
    assert all((run / name).is_file() for name in names)
    assert "Step 2" in page.text
    assert len(page.all("details")) == 2, "the earlier grids, and the settings"
    assert [each["aria-label"] for each in page.all("svg")] == [
        "Loss, the weighted sum, over the steps: loss"
    ]


def test_the_page_opens_from_disk_and_names_no_place_of_the_machine(run: Path, data: Path) -> None:
    page = Page(run / "index.html")
    assert str(run.parent) not in page.source
    assert str(data) not in page.source
    for name, attributes in page.elements:
        assert name not in ("link", "iframe", "object", "embed")
        assert (attributes.get("href") or "#").startswith("#")
        assert "://" not in (attributes.get("src") or "")
    assert all((picture["alt"] or "").strip() for picture in page.all("img"))


def test_while_it_trains_the_page_loads_itself_again_and_tells_the_time_left(run: Path) -> None:
    pages = {step: Page(run / f"page-{step}.html") for step in (1, 2, 3, 4, 5)}
    assert all(map(refreshes, pages.values()))
    assert "step 1 of 5" in pages[1].text
    assert "There are no samples yet" in pages[1].text
    assert "step 2 of 5 · about 0:" in pages[2].text
    assert pages[3].source == pages[2].source, "nothing new to see"
    assert pages[4].all("img")[0]["src"] == "samples/step-000004-grid.png"
    assert "the weights are being written" in pages[5].text


def test_the_scores_of_a_watched_run_are_curves(spf, tiny: list[str], cache: None, tmp_path: Path) -> None:
    done = spf("data", "portraits", "--target", "hat", "--count", 2, "--out", tmp_path / "data")
    assert done.code == 0, done.err
    few = ("--set", "evaluation.prompts=1", "--set", "evaluation.seeds=1", "--evaluate-every", 1)
    out = tmp_path / "run"
    args = ("--data", tmp_path / "data", "--preset", "lora", "--steps", 2, "--out", out)
    done = spf("train", *args, *few, *tiny)
    assert done.code == 0, done.err
    shown = [each["aria-label"] or "" for each in Page(out / "index.html").all("svg")]
    assert any(each.startswith("Purity from 0 to 100, over the steps: sps, rec") for each in shown)


def test_a_page_that_cannot_be_written_is_said_once_and_stops_nothing(
    spf,
    data: Path,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SPOIL", "1")
    out = tmp_path / "run"
    done = spf("train", "--data", data, "--preset", "lora", "--out", out, *tiny, *SHOWN, *KEEPS)
    assert done.code == 0, done.err
    (said,) = [record.getMessage() for record in caplog.records if "index.html" in record.getMessage()]
    assert said.endswith("/index.html' cannot be written (Is a directory); the training goes on without it")
    assert (out / ADAPTER_FILE).is_file()
    assert (out / "index.html" / "mine.txt").is_file()


def test_showing_a_run_changes_no_bit_of_it(
    spf, run: Path, data: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPF_DISABLED_PLUGINS", "spf-lab")
    out = tmp_path / "run"
    done = spf("train", "--data", data, "--preset", "lora", "--out", out, *tiny, *SHOWN)
    assert done.code == 0, done.err
    assert not (out / "index.html").exists()
    shown, hidden = (read_safetensors(folder / ADAPTER_FILE)[0] for folder in (run, out))
    assert shown.keys() == hidden.keys()
    assert all(shown[name].equal(hidden[name]) for name in shown)


def test_a_resumed_run_shows_itself_again(spf, run: Path) -> None:
    (run / "index.html").write_text("old")
    done = spf("train", "--resume", "--out", run, "--steps", 6, *KEEPS)
    assert done.code == 0, done.err
    page = Page(run / "index.html")
    assert "step 6 of 6" in page.text
    assert not refreshes(page)
