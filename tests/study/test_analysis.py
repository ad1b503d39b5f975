"""Votes in, strengths out: simulated raters are recovered, careless ones left out, bad files refused."""

import json

import pytest
from studies import write_evaluations

from spf_core.errors import ConfigError, RunError
from spf_lab.study.analysis import analyse_study
from spf_lab.study.build import build_study
from spf_lab.study.records import SIMULATED, Export, read_key
from spf_lab.study.simulate import Behaviour, simulate_raters
from spf_lab.study.votes import read_votes

TRUTH = {"spf": 1.2, "lora": 0.0, "naive": -1.2}
BEHAVIOUR = Behaviour(TRUTH, side_bias=0.5)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    build_study(write_evaluations(folder / "in", scenes=60), folder / "out", forms=12, trials=60)
    return folder / "out"


@pytest.fixture(scope="module")
def votes(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("votes") / "out"
    return simulate_raters(study, out, behaviour=BEHAVIOUR, raters=28, careless=4, seed=1), out


@pytest.fixture(scope="module")
def results(study, votes, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return analyse_study(study, [votes[1]], out), out


def test_known_strengths_and_side_bias_are_recovered(results):
    for question in results[0]["questions"].values():
        inside = [low < TRUTH[name] < high for name, (low, high) in intervals(question["strengths"])]
        assert sum(inside) >= 2
        assert [name for name, _ in ranked(question)] == ["spf", "lora", "naive"]
        (_, spf), (_, naive) = intervals(question["beats"])
        assert spf[0] > 0.5 > naive[1]
        assert question["left"]["ci"][0] < 0.622 < question["left"]["ci"][1]


def intervals(values):
    return [(name, value["ci"]) for name, value in values.items()]


def ranked(question):
    return sorted(question["strengths"].items(), key=lambda item: -item[1]["value"])


def test_raters_who_fail_the_catches_are_left_out_and_shown_apart(results, votes):
    found, exports = results[0], votes[0]
    assert set(found["raters"]["excluded"]) >= {export.rater for export in exports[-4:]}
    careful = [export.rater for export in exports[:-4] if export.rater in found["raters"]["excluded"]]
    assert len(careful) <= 2
    for question in ("original", "target", "appearance"):
        kept, everyone = found["questions"][question], found["questions_with_excluded"][question]
        assert everyone["answers"] == 28 * 20
        assert kept["answers"] == (28 - len(found["raters"]["excluded"])) * 20
        assert dict(ranked(kept))["spf"]["value"] > dict(ranked(everyone))["spf"]["value"], "guesses dilute"


def test_catches_and_repeats_count_for_nothing(results):
    for question in results[0]["questions_with_excluded"].values():
        assert sum(row["wins"] + row["ties"] + row["losses"] for row in question["pairs"]) == 28 * 20


def test_simulated_votes_are_marked_in_every_output(results):
    found, out = results
    assert (found["simulated"], found["label"]) == (True, SIMULATED)
    assert json.loads((out / "results.json").read_text()) == found
    report = (out / "report.md").read_text()
    assert report.startswith("# SIMULATED user study")
    assert report.count(SIMULATED) == 2, "above the results, and above those with the excluded raters"
    rows = [json.loads(line) for line in (out / "votes.jsonl").read_text().splitlines()]
    assert len(rows) == 28 * 72
    assert {row["label"] for row in rows} == {SIMULATED}


def test_real_votes_carry_no_mark(study, votes, tmp_path):
    for export in votes[0][:3]:
        save(tmp_path / "in", export, simulated=False)
    found = analyse_study(study, [tmp_path / "in"], tmp_path / "out")
    assert found["label"] is None
    report = (tmp_path / "out" / "report.md").read_text()
    assert "SIMULATED" not in report
    assert "**Fewer than 5 raters**" in report


def save(folder, export, name=None, **change):
    folder.mkdir(exist_ok=True)
    file = folder / f"{name or export.rater}.json"
    file.write_text(export.model_copy(update=change).model_dump_json(), encoding="utf-8")
    return file


def test_of_several_files_of_a_rater_the_longest_counts(study, votes, tmp_path):
    export, key = votes[0][0], read_key(study)
    save(tmp_path, export, "paused", votes=export.votes[:20])
    whole = save(tmp_path, export, "whole")
    save(tmp_path, export, "again")
    found = read_votes([tmp_path], key)
    assert (found.files, found.superseded, len(found.raters)) == (3, 2, 1)
    assert len(found.raters[0].answers) == 72
    assert found.raters[0].complete
    assert not read_votes([tmp_path / "paused.json"], key).raters[0].complete
    assert read_votes([whole, whole], key).files == 1


def test_a_withdrawal_removes_all_files_of_a_rater(study, votes, tmp_path):
    one, other, *_ = votes[0]
    for export in (one, other):
        save(tmp_path, export)
    save(tmp_path, one, "notice", votes=(), withdrawn=True)
    found = read_votes([tmp_path], read_key(study))
    assert [rater.name for rater in found.raters] == [other.rater]
    assert (found.withdrawn, found.superseded) == (1, 0)
    with pytest.raises(RunError, match=r"no votes to analyse in 1 file\(s\), 1 rater\(s\) withdrew"):
        read_votes([tmp_path / "notice.json"], read_key(study))


def test_a_rater_with_too_few_catches_is_not_judged(study, votes):
    careless, key = votes[0][-1], read_key(study)
    (rater,) = read_votes_of(careless, key, 72)
    assert "catch trials wrong" in rater.exclusion(key.exclusion)
    (beginner,) = read_votes_of(careless, key, 8)
    assert beginner.exclusion(key.exclusion) is None


def read_votes_of(export, key, count):
    from spf_lab.study.votes import _rater

    return [_rater(Export.model_validate(export.model_dump() | {"votes": export.votes[:count]}), key)]


def flip(vote):
    return vote.model_copy(update={"answer": "tie" if vote.answer != "tie" else "left"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"study": "0" * 64}, "belongs to another study"),
        ({"form": 99}, "its answers are not those of form 99"),
        ({"votes": "gap"}, "its answers are not those of form 0"),
        ({"votes": "long"}, "its answers are not those of form 0"),
        ({"votes": "other"}, "of the same rater and contradict each other"),
        ({"rater": "f" * 16, "simulated": False}, "is simulated, .* is not"),
    ],
)
def test_files_that_cannot_be_used_are_named(study, votes, tmp_path, change, words):
    export = votes[0][0]
    made = {
        "gap": (*export.votes[:3], *export.votes[4:]),
        "long": (*export.votes, export.votes[-1].model_copy(update={"trial": 72})),
        "other": (flip(export.votes[0]), *export.votes[1:]),
    }
    save(tmp_path, export, "good")
    save(tmp_path, export, "bad", **{name: made.get(value, value) for name, value in change.items()})
    with pytest.raises(RunError, match=words) as caught:
        analyse_study(study, [tmp_path], tmp_path / "out")
    assert "bad.json" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "damaged or no JSON"),
        ("[]", "valid dictionary"),
        ('{"format": "other"}', "format: Input should be 'spf-study-votes-1'"),
        ('{"study": "x", "rater": "Ann", "form": 0}', "rater: String should match"),
        ('{"study": "x", "rater": "0123456789abcdef", "form": 0, "name": "Ann"}', "unknown option 'name'"),
    ],
)
def test_what_is_no_votes_file_is_refused(study, tmp_path, content, words):
    (tmp_path / "votes.json").write_text(content)
    with pytest.raises(RunError, match=words):
        read_votes([tmp_path / "votes.json"], read_key(study))


def test_places_without_votes_or_study_are_refused(study, tmp_path):
    with pytest.raises(RunError, match=r"holds no \.json file"):
        read_votes([tmp_path], read_key(study))
    with pytest.raises(RunError, match=r"nothing\.json' does not exist"):
        read_votes([tmp_path / "nothing.json"], read_key(study))
    with pytest.raises(RunError, match=r"is not a study's folder: it has no key\.json"):
        read_key(tmp_path)
    (tmp_path / "key.json").write_text('{"format": "spf-study-key-1"}')
    with pytest.raises(RunError, match=r"key\.json': study: is required"):
        read_key(tmp_path)


def test_unknown_methods_are_refused(study, votes, tmp_path):
    with pytest.raises(ConfigError, match=r"no method named 'spv'\. Did you mean 'spf'"):
        analyse_study(study, [votes[1]], tmp_path / "out", against="spv")
    with pytest.raises(ConfigError, match="no method named 'spv'"):
        simulate_raters(study, tmp_path / "out", behaviour=Behaviour({"spv": 1.0}))
    assert not (tmp_path / "out").exists()
