"""An evaluation from end to end with a tiny random model: files, numbers, and clear refusals."""

import copy
import json
from itertools import chain

import pytest
import torch
from PIL import Image
from squares import Squares

from spf_core.errors import ConfigError, RunError
from spf_core.sampling.sampler import sample_images
from spf_lab.evaluation import originals, run
from spf_lab.evaluation.drawing import EvaluationPlan, unseen_prompts
from spf_lab.evaluation.readout import result_rows
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.saved import check_evaluation
from spf_lab.evaluation.subject import find_subject

ESTIMATES = (
    "sps", "effect", "spi", "delta_spi", "rec", "hit_rate", "hit_rate_original", "base_leak",
)  # fmt: skip


@pytest.fixture(scope="module")
def results(shared_run, tmp_path_factory):
    heard = []
    open_run, plugins = shared_run
    out = tmp_path_factory.mktemp("evaluation") / "out"
    evaluate(
        open_run,
        plugins,
        EvaluationPlan(prompts=4, seeds=2),
        out=out,
        progress=lambda stage, *_, **__: heard.append(stage),
    )
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in (out / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    return content, rows, out, heard, open_run


def test_results_hold_scores_with_intervals_parts_and_provenance(results):
    content, *_, open_run = results
    for name in ESTIMATES:
        assert set(content[name]) == {"value", "ci"}, name
        assert len(content[name]["ci"]) == 2
    assert set(content["parts"]) == {"appearance", "structure", "layout", "identity", "attributes"}
    assert (content["suite_label"], content["target"]) == ("squares", "dot")
    assert (content["n_prompts"], content["n_seeds"]) == (4, 2)
    assert content["model_hash"] == open_run.backbone.fingerprint()
    assert content["adapter_hash"] == "0123456789abcdef"
    assert content["training_bias"] == {"background": "blue"}
    assert content["allowed_attributes"] == []
    assert set(content["bias_rise"]) == {"background=blue"}
    assert set(content["leakage"]["background"]) == {"red", "green", "blue"}
    assert set(content["flips"]) == {"tuned", "reseed"}


def test_there_is_a_row_for_every_pair_with_its_texts_and_numbers(results):
    content, rows, *_ = results
    assert len(rows) == 8
    assert {(row["prompt"], row["seed"]) for row in rows} == {(p, s) for p in range(4) for s in range(2)}
    assert all(row["complete_text"].endswith(", with a dot") for row in rows)
    mean = sum(row["tau"]["c"] > 0.5 for row in rows) / 8
    assert content["hit_rate"]["value"] == pytest.approx(mean)
    for row in rows:
        assert set(row["distances"]["tuned"]) == set(content["metrics"])


def test_explicit_and_silent_prompts_are_scored_apart(results):
    """By hand from the rows: prompts at even places name every attribute."""
    content, rows, *_ = results
    assert set(content["strata"]) == {"explicit", "silent"}
    for place, name in enumerate(("explicit", "silent")):
        part = [row for row in rows if row["prompt"] % 2 == place]
        assert all((len(row["mentioned"]) > 1) == (name == "explicit") for row in part)
        found = content["strata"][name]
        tau = {role: sum(row["tau"][role] for row in part) / len(part) for role in "ac"}
        effect = (tau["c"] - tau["a"]) / (content["calibration"]["tau_ref"] - tau["a"])
        assert found["effect"]["value"] == pytest.approx(min(1, max(0, effect)), abs=1e-6)
        ratios = []
        for metric in content["calibration"]["parts"]:
            pairs = [row["distances"]["tuned"][metric] for row in part]
            distance, reseed = (sum(pair[key] for pair in pairs) for key in ("distance", "reseed"))
            ratios.append(min(1, distance / reseed) if reseed else float(distance > 0))
        assert found["spi"]["value"] == pytest.approx(sum(ratios) / len(ratios), abs=1e-6)


def test_a_suite_that_knows_its_ceiling_is_asked_for_it(shared_run, tmp_path, monkeypatch):
    open_run, plugins = shared_run
    limits = {name: {"sps": 90.0, "spi": 0.1} for name in ("all", "explicit", "silent")}

    class Limited(Squares):
        def ceiling(self, target):
            return limits

    monkeypatch.setattr(plugins.get("squares", "suite"), "build", lambda self: Limited())
    evaluate(open_run, plugins, EvaluationPlan(prompts=2, seeds=1), out=tmp_path / "out")
    content = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert content["ceiling"] == limits
    meanings = {row[0]: row[-1] for row in result_rows({"run": content})}
    assert "ceiling 90.0" in meanings["  sps, explicit"]


def test_figures_are_pictures(results):
    _, _, out, *_ = results
    for name in ("grid.png", "leakage.png", "worst.png"):
        with Image.open(out / name) as picture:
            assert min(picture.size) >= 300, name


def test_progress_names_every_stage(results):
    _, _, _, heard, _ = results
    stages = set(heard)
    assert {"original, base text", "tuned, complete text", "tuned, base text", "judging"} <= stages


def test_an_adapter_that_changes_nothing_reconstructs_fully_and_pollutes_nothing(open_run, plugins, tmp_path):
    for parameter in open_run.adapter.parameters():
        parameter.data.zero_()
    found = evaluate(open_run, plugins, EvaluationPlan(prompts=2, seeds=1), out=tmp_path / "out").headline
    assert found["rec"].value == 100
    assert found["delta_spi"].value == 0
    assert found["hit_rate"].value == found["hit_rate_original"].value


def test_no_prompt_of_the_evaluation_occurs_in_the_training_folder(data, plugins):
    fresh = unseen_prompts(find_subject(str(data), plugins), 3, seed=0, split="test")
    seen = fresh[1].prompt.base_text
    row = {"file_name": "a.png", "base_text": seen, "target_text": "with one dot"}
    (data / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    prompts = unseen_prompts(find_subject(str(data), plugins), 3, seed=0, split="test")
    assert len(prompts) == 3
    assert seen not in [item.prompt.base_text for item in prompts]
    assert {item.prompt.target_text for item in prompts} == {"with one dot"}, (
        "the text the run was trained on"
    )


def test_the_target_can_be_named_when_the_training_folder_is_gone(open_run, plugins, data, tmp_path):
    (data / "squares.txt").unlink()
    with pytest.raises(ConfigError, match=r"no suite knows.*--target.*dot"):
        evaluate(open_run, plugins, EvaluationPlan(prompts=1, seeds=1), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert find_subject(str(data), plugins, target="dot").suite_name == "squares"


def test_an_unknown_target_is_refused_with_a_suggestion(plugins, data):
    with pytest.raises(ConfigError, match=r"dott.*Did you mean 'dot'"):
        find_subject(str(data), plugins, target="dott")


def test_an_unknown_suite_is_refused(plugins, data):
    with pytest.raises(ConfigError, match=r"no suite named 'square'.*Did you mean 'squares'"):
        find_subject(str(data), plugins, suite="square")


def test_a_filled_output_folder_is_refused_before_anything_is_sampled(open_run, plugins, tmp_path, cache):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="not empty"):
        evaluate(open_run, plugins, EvaluationPlan(prompts=1, seeds=1), out=out)
    assert list(chain(out.iterdir(), cache.rglob("*.png"))) == [out / "notes.txt"]


@pytest.mark.parametrize("counts", [{"prompts": 0}, {"seeds": 0}])
def test_counts_below_one_are_refused(open_run, plugins, tmp_path, counts):
    with pytest.raises(ConfigError, match="at least 1"):
        evaluate(open_run, plugins, EvaluationPlan(**counts), out=tmp_path / "out")


def test_a_draw_that_a_cpu_does_not_repeat_is_refused(open_run, plugins, tmp_path, monkeypatch):
    """Its difference would be subtracted from every distance as if it were noise."""

    def once_otherwise(*args, **options):
        return [image.point(lambda value: value ^ 64) for image in sample_images(*args, **options)]

    monkeypatch.setattr(originals, "sample_images", once_otherwise)
    with pytest.raises(
        RunError, match=r"^noise floor \w+=0\.\d+: .*which a CPU does not do; .*evaluate again$"
    ):
        evaluate(open_run, plugins, EvaluationPlan(prompts=2, seeds=1), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_saved_noise_floor_of_a_cpu_is_refused(results):
    content, rows, *_ = results
    assert content["environment"]["device"] == "cpu"
    assert set(content["calibration"]["floor"].values()) == {0.0}
    check_evaluation(content, rows)
    noisy = copy.deepcopy(content)
    noisy["calibration"]["floor"]["layout"] = 0.0143
    with pytest.raises(ValueError, match=r"calibration\.floor layout=0\.0143 on a CPU.*evaluate again$"):
        check_evaluation(noisy, rows)
    noisy["environment"]["device"] = "cuda"
    check_evaluation(noisy, rows)


def test_equal_pictures_have_no_noise_however_a_metric_rounds(shared_run, tmp_path, monkeypatch):
    """A judge may round in another way where it sees fewer pictures."""

    class Rounding:
        part = "layout"

        def __call__(self, suite, first, second, region, target):
            return torch.full((len(first),), 1e-7)

    real = run.measure
    monkeypatch.setattr(run, "measure", lambda judge, built, quads: real(judge, {"rough": Rounding()}, quads))
    open_run, plugins = shared_run
    found = evaluate(open_run, plugins, EvaluationPlan(prompts=2, seeds=1), out=tmp_path / "out")
    assert found.calibration["floor"] == {"rough": 0.0}
