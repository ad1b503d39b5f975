"""`spf report`: one page that stands alone, of a run, a benchmark or a published folder."""

import json
import shutil
from pathlib import Path

import pytest
from pages import Page, results, shown
from PIL import Image

from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.runs.run import file_hash
from spf_core.utils.private import public
from spf_core.utils.yaml_text import dump_yaml, read_yaml

SCORES = ("sps", "effect", "spi", "hit_rate", "base_leak", "rec")
SHORT = ("--prompt", "a young man", "--target", "wearing a hat")  # the tiny tokenizer cuts long texts
PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "portraits"


@pytest.fixture(scope="module")
def run(spf, tiny: list[str], cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an evaluation inside, as `spf evaluate RUN --out RUN/evaluation` leaves it."""
    folder = tmp_path_factory.mktemp("report")
    data, out = folder / "data", folder / "run"
    bias = ("--bias", "background=teal,clothes=blazer")
    commands = [
        ("data", "portraits", "--target", "hat", "--count", 4, *bias, "--out", data),
        ("train", "--data", data, "--steps", 2, "--set", "sample.every=1", "--out", out, *tiny),
        ("evaluate", out, "--prompts", 3, "--seeds", 1, "--strengths", "0,1", "--out", out / "evaluation"),
    ]
    for command in commands:
        done = spf(*command)
        assert done.code == 0, done.err
    return out


@pytest.fixture(scope="module")
def page(spf, run: Path) -> Page:
    done = spf("report", run, *SHORT)
    assert done.code == 0, done.err
    assert done.out.strip() == f"wrote {run / 'report.html'}"
    return Page(run / "report.html")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_the_page_stands_alone(page: Page) -> None:
    page.stands_alone()


def test_the_page_begins_with_its_verdict_and_the_pairs(page: Page, run: Path) -> None:
    from spf_lab.report.verdict import run_verdict

    verdict = run_verdict(results(run / "evaluation"))
    said = [verdict.word, verdict.sentence.replace("**", ""), "Before and after", "SPI 0 means none"]
    places = [page.text.index(each) for each in said]
    assert places == sorted(places)
    assert places[0] < page.text.index("Semantic Purity Score")


def test_the_page_follows_the_system_s_colours_and_has_a_button(page: Page) -> None:
    assert "color-scheme: light dark" in page.source
    assert "localStorage" in page.source
    assert '[data-theme="dark"]' in page.source


def test_the_page_holds_the_scores_of_the_evaluation(page: Page, run: Path) -> None:
    found = results(run / "evaluation")
    assert all(shown(found[name]) in page.text for name in SCORES)
    assert all(shown(part) in page.text for part in found["parts"].values())
    for point in found["frontier"]["points"]:
        assert shown(point["sps"]) in page.text
    assert "embedded portraits" in page.text
    assert "background teal, clothes blazer" in page.text


def test_the_page_shows_every_kind_of_picture_with_its_words(page: Page, run: Path) -> None:
    alts = [picture["alt"] or "" for picture in page.all("img")]
    rows = [json.loads(line) for line in (run / "evaluation" / "pairs.jsonl").read_text().splitlines()]
    for row in rows:
        assert sum(row["base_text"] in alt for alt in alts) >= 5, "A, B, C, D and the change map"
    assert sum(alt.startswith("Change from the base model") for alt in alts) == 6, (
        "three first and three worst"
    )
    assert any("outside the region" in alt for alt in alts)
    for words in (
        "original model's attention to wearing a hat",
        "tuned model's attention to wearing a hat",
        "control map sfcm-counterfactual",
    ):
        assert any(words in alt for alt in alts), words
    assert any(alt.startswith("Training loss over 2 steps") for alt in alts)
    assert any(alt.startswith("Effect against 1 - SPI at each adapter strength") for alt in alts)


def test_the_slider_works_from_the_keyboard_and_says_what_it_does(page: Page) -> None:
    (slider,) = [each for each in page.all("input") if each["type"] == "range"]
    assert slider["aria-label"]
    assert "tabindex" not in slider
    keys = {each.get("data-role") for _, each in page.elements} - {None}
    assert {option["value"] for option in page.all("option")} < keys


def test_settings_and_hashes_are_at_the_end(page: Page, run: Path) -> None:
    assert file_hash(run / ADAPTER_FILE) in page.text
    assert results(run / "evaluation")["model_hash"] in page.text
    assert dump_yaml(public(read_yaml(run / "config.yaml"))) in page.text
    assert str(run.parent) not in page.text
    _, metadata = read_safetensors(run / ADAPTER_FILE)
    assert f"{metadata['spf_handover']}, the lowest that keeps the target" in page.text


def test_the_same_folder_gives_the_same_page(spf, page: Page, run: Path, tmp_path: Path) -> None:
    assert spf("report", run, *SHORT, "--out", tmp_path / "again.html").code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page.source


def test_texts_are_shown_not_run(spf, copied: Path) -> None:
    file = copied / "evaluation" / "pairs.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows[0]["base_text"] = '<script>alert("1")</script> & co'
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert spf("report", copied).code == 0
    page = Page(copied / "report.html")
    assert '<script>alert("1")' not in page.source
    assert '<script>alert("1")</script> & co' in page.text
    page.stands_alone()


def test_without_usable_weights_the_page_says_so_in_their_place(spf, copied: Path) -> None:
    (copied / ADAPTER_FILE).unlink()
    assert spf("report", copied).code == 0
    page = Page(copied / "report.html")
    page.stands_alone()
    assert f"No attention maps: '{copied.name}' has no {ADAPTER_FILE}" in page.text
    assert shown(results(copied / "evaluation")["sps"]) in page.text


def test_an_evaluation_of_other_weights_is_refused(spf, run: Path, copied: Path) -> None:
    file = copied / "evaluation" / "results.json"
    file.write_text(file.read_text().replace(file_hash(run / ADAPTER_FILE), "0" * 16))
    assert spf("report", copied).fails_with("other weights", "--evaluation")
    assert spf("report", copied, "--evaluation", run / "evaluation").code == 0


def test_a_run_without_an_evaluation_tells_how_to_make_one(spf, copied: Path) -> None:
    shutil.rmtree(copied / "evaluation")
    assert spf("report", copied, *SHORT).code == 0
    page = Page(copied / "report.html")
    page.stands_alone()
    assert f"spf evaluate {copied.name} --out {copied.name}/evaluation" in page.text
    assert str(copied) not in page.text
    assert "a young man, wearing a hat" in page.text
    alts = [picture["alt"] or "" for picture in page.all("img")]
    assert any(alt.startswith("Training loss") for alt in alts)
    assert page.text.index("Never evaluated.") < page.text.index("Samples during training")
    grids = [alt for alt in alts if "the base model above" in alt]
    assert [grid.partition("after ")[2] for grid in grids] == ["step 2", "step 1"]


def test_a_run_without_an_evaluation_and_samples_says_so(spf, copied: Path) -> None:
    shutil.rmtree(copied / "evaluation")
    shutil.rmtree(copied / "samples")
    assert spf("report", copied, *SHORT).code == 0
    page = Page(copied / "report.html")
    page.stands_alone()
    assert "The training drew no samples. sample.every sets how often" in page.text


def test_a_damaged_sample_grid_is_named_in_its_place(spf, copied: Path) -> None:
    shutil.rmtree(copied / "evaluation")
    (copied / "samples" / "step-000002-grid.png").write_bytes(b"no picture")
    assert spf("report", copied, *SHORT).code == 0
    assert "the picture of step 2 is damaged" in Page(copied / "report.html").text


@pytest.mark.parametrize(
    "damage",
    [{"data": {"a": "b"}}, {"data": ["a"]}, {"data": 3}, {"data": "x" * 300}, {"dataset": 3}],
    ids=["mapping", "list", "number", "endless name", "dataset"],
)
def test_a_run_whose_record_of_its_data_is_damaged_has_a_page_without_rows(
    spf, copied: Path, damage: dict[str, object]
) -> None:
    shutil.rmtree(copied / "evaluation")  # it would give the rows
    (copied / "config.yaml").write_text(dump_yaml({**read_yaml(copied / "config.yaml"), **damage}))
    done = spf("report", copied)
    assert done.code == 0, done.err
    assert (copied / "report.html").is_file()


def test_a_damaged_evaluation_is_named(spf, copied: Path) -> None:
    file = copied / "evaluation" / "pairs.jsonl"
    file.write_text(file.read_text()[:-40])
    assert spf("report", copied).fails_with(str(copied / "evaluation"), "no full evaluation")


@pytest.mark.parametrize("role", ["tuned", "region"])
@pytest.mark.parametrize("damage", ["cut", "another size"])
def test_a_damaged_picture_of_an_evaluation_is_named(spf, copied: Path, role: str, damage: str) -> None:
    file = next((copied / "evaluation" / "images").glob(f"{role}-*.png"))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        Image.new("RGB", (17, 33)).save(file)
    (copied / "report.html").unlink(missing_ok=True)
    page = spf("report", copied)
    if (role, damage) == ("region", "another size"):  # a judge may see pictures at a size of its own
        assert page.code == 0, page.err
    else:
        assert page.fails_with(str(file))
        assert not (copied / "report.html").exists()


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_of_something_else_is_refused(spf, tmp_path: Path, name: str) -> None:
    refused = spf("report", tmp_path / name)
    assert refused.fails_with(str(tmp_path / name), "config.yaml", "benchmark.yaml", "demo.json")
    assert not (tmp_path / "missing").exists()


def test_a_named_file_is_replaced_only_when_asked(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("mine")
    assert spf("report", run, "--out", out).fails_with("--overwrite")
    assert out.read_text() == "mine"


@pytest.mark.slow
def test_a_published_folder_has_a_page_without_its_cells(spf, tmp_path: Path) -> None:
    shutil.copytree(PUBLISHED, tmp_path / "published", ignore=shutil.ignore_patterns("cells"))
    assert spf("report", tmp_path / "published").code == 0
    page = Page(tmp_path / "published" / "report.html")
    page.stands_alone()
    assert "No attention maps: this folder does not contain the run of spf." in page.text
    assert "spf has the highest SPS over 6 targets: 78.1 [75.7, 80.0], ahead of lora-late" in page.text
    for target, found in results(PUBLISHED)["targets"].items():
        assert any(f"{target}: the first prompts, by" in (each["alt"] or "") for each in page.all("img"))
        assert all(f"{row['sps']['value']:.1f} [" in page.text for row in found["presets"].values())


def test_results_of_another_version_are_refused_with_the_way_out(spf, tmp_path: Path) -> None:
    old = shutil.copytree(
        PUBLISHED, tmp_path / "old", ignore=shutil.ignore_patterns("cells", "*.png", "*.webp")
    )
    text = (old / "results.json").read_text(encoding="utf-8").replace("sps_original", "older")
    (old / "results.json").write_text(text, encoding="utf-8")
    assert spf("report", old).fails_with("lack sps_original", "--report-only")
    assert not (old / "report.html").exists()


def test_options_of_a_run_are_refused_for_a_benchmark(spf) -> None:
    refused = spf("report", PUBLISHED, "--evaluation", PUBLISHED)
    assert refused.fails_with("--evaluation", "belong to a run")


@pytest.mark.parametrize("strengths", ["0,a", "-1,0", "1,1"])
def test_strengths_that_cannot_be_are_refused(spf, run: Path, tmp_path: Path, strengths: str) -> None:
    refused = spf("evaluate", run, "--out", tmp_path / "out", f"--strengths={strengths}")
    assert refused.fails_with(f"--strengths {strengths}")
