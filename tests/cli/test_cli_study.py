"""`spf study`: build, simulate, analyse, and one clear line for every mistake."""

import json
from pathlib import Path

import pytest
from studies import manifest, write_evaluations

LABEL = "SIMULATED, not a result"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_evaluations(tmp_path_factory.mktemp("evaluations"), scenes=40)


@pytest.fixture(scope="module")
def study(spf, sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    done = spf("study", "build", *sources, "--out", out, "--raters", 4, "--trials", 40, "--max-wrong", 0.5)
    assert done.code == 0, done.err
    assert "4 forms of 48 questions on 40 scenes" in done.out
    assert f"give raters the folder {out / 'page'}" in done.out
    return out


@pytest.fixture(scope="module")
def votes(spf, study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("votes") / "out"
    strong = ("--strength", "spf=2", "--strength", "naive=-1")
    done = spf("study", "simulate", study, "--out", out, *strong, "--raters", 6, "--careless", 1)
    assert done.code == 0, done.err
    assert LABEL in done.err
    return out


def test_the_rule_is_fixed_in_the_page_before_anyone_votes(study: Path) -> None:
    assert manifest(study / "page")["exclusion"] == {"least": 4, "max_wrong": 0.5, "min_consistency": 0.6}


def test_tables_and_report_show_strengths_for_every_question(
    spf, study: Path, votes: Path, tmp_path: Path
) -> None:
    done = spf("study", "analyse", study, votes, "--out", tmp_path / "results")
    assert done.code == 0, done.err
    assert done.out.count("preferred to lora") == 3
    for title in ("Keeps more of the base image", "Shows the target better", "Looks better"):
        assert f"{LABEL}: {title}" in done.out
    assert LABEL in done.err
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    for question in results["questions"].values():
        assert max(question["strengths"], key=lambda name: question["strengths"][name]["value"]) == "spf"
    assert {file.name for file in (tmp_path / "results").iterdir()} == {
        "results.json", "report.md", "strengths.png", "votes.jsonl"
    }  # fmt: skip


def test_an_analysis_lies_beside_the_study_and_is_renewed(spf, study: Path, votes: Path) -> None:
    files = sorted(votes.iterdir())
    for count in (2, 6):
        done = spf("study", "analyse", study, *files[:count], "--against", "naive")
        assert done.code == 0, done.err
        found = json.loads((study / "results" / "results.json").read_text())
        assert (found["raters"]["analysed"], found["against"]) == (count, "naive")


def test_the_consent_text_may_be_ones_own(spf, sources: list[str], tmp_path: Path) -> None:
    (tmp_path / "consent.txt").write_text("We ask you.\n\nWrite to us: study@example.org", encoding="utf-8")
    done = spf(
        "study",
        "build",
        *sources,
        "--out",
        tmp_path / "out",
        "--trials",
        5,
        "--consent",
        tmp_path / "consent.txt",
    )
    assert done.code == 0, done.err
    assert manifest(tmp_path / "out" / "page")["consent"] == ["We ask you.", "Write to us: study@example.org"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "nowhere", "--out", "out"), ("'nowhere' is not a folder",)),
        (("build", "SPF", "--out", "out"), ("at least 2 methods", "found: spf")),
        (("build", "SPF", "LORA", "--out", "out"), ("--trials 60", "at most 40")),
        (("build", "SPF", "LORA", "--out", "out", "--trials", "0"), ("--trials",)),
        (("build", "SPF", "LORA", "--out", "out", "--method", "lore"), ("Did you mean 'lora'",)),
        (("build", "SPF", "LORA", "--out", "out", "--consent", "no.txt"), ("'no.txt' does not exist",)),
        (("build", "SPF", "LORA", "--out", "SPF"), ("is not empty",)),
        (("analyse", "nowhere", "VOTES"), ("'nowhere' is not a study's folder", "spf study build")),
        (("analyse", "STUDY", "nowhere.json"), ("'nowhere.json' does not exist",)),
        (("analyse", "STUDY", "STUDY"), ("key.json'", "spf-study-votes-1")),
        (("analyse", "STUDY", "VOTES", "--against", "lore"), ("Did you mean 'lora'",)),
        (("simulate", "STUDY", "--out", "VOTES"), ("is not empty",)),
        (("simulate", "STUDY", "--out", "out", "--strength", "spf"), ("expected NAME=NUMBER",)),
        (("simulate", "STUDY", "--out", "out", "--strength", "spv=1"), ("Did you mean 'spf'",)),
        (("simulate", "STUDY", "--out", "out", "--strength", "spf=nan"), ("finite",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    spf, sources, study, votes, tmp_path, monkeypatch, arguments, words
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"SPF": sources[0], "LORA": sources[1], "STUDY": study, "VOTES": votes}
    assert spf("study", *(places.get(each, each) for each in arguments)).fails_with(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_consent_text_that_cannot_be_read_is_named_with_its_line(spf, sources, tmp_path: Path) -> None:
    (tmp_path / "nul.txt").write_text("We ask you.\n\nNo\0")
    failed = spf("study", "build", *sources, "--out", tmp_path / "out", "--consent", tmp_path / "nul.txt")
    assert failed.fails_with("nul.txt' holds a NUL character at position 3 of line 3")
    assert not (tmp_path / "out").exists()


def test_votes_of_another_study_are_refused(spf, sources: list[str], votes: Path, tmp_path: Path) -> None:
    assert spf("study", "build", *sources, "--out", tmp_path / "other", "--trials", 5).code == 0
    assert spf("study", "analyse", tmp_path / "other", votes).fails_with("belongs to another study")
    assert not (tmp_path / "other" / "results").exists()
