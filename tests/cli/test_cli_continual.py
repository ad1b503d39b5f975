"""`spf continual`: targets one after another, from one file to tables."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from benchmarks import STRONG, Finished, finish, report, times, write
from installing import installed
from PIL import Image

from spf_core.plugins import SuiteConfig
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.runs.run import file_hash
from spf_portraits.suite import PortraitsSuite

pytestmark = pytest.mark.slow

SUMMARIES = (
    "average_effect", "forgetting", "backward_transfer", "rec_growth", "spi_growth",
    "final_spi", "final_hit", "final_rec", "final_base_leak",
)  # fmt: skip


class Joint(PortraitsSuite):
    """The judge sees every hat, and a beard in every other picture."""

    def why_not_joint(self, targets: Sequence[str]) -> None:
        """One picture can show all targets."""

    def target_probability(self, images: Sequence[Image.Image], target: str) -> torch.Tensor:
        ones = torch.ones(len(images))
        return ones if target == "hat" else ones * (torch.arange(len(images)) % 2 == 0)


class JointConfig(SuiteConfig):
    """Portraits whose targets one picture can show."""

    name = "joint"

    def build(self) -> Joint:
        return Joint()


@pytest.fixture(scope="module")
def continual(settings) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key != "seeds"}
    return {**kept, "targets": ["hat", "beard"], "evaluation": {"prompts": 3}}


@pytest.fixture(scope="module")
def finished(spf, continual, cache: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(spf, "continual", continual, tmp_path_factory.mktemp("continual"))


def stages(out: Path, sequence: str) -> list[Path]:
    return sorted((out / "sequences" / sequence).iterdir())


def test_every_stage_is_told_in_one_line_and_begins_where_the_one_before_ended(finished) -> None:
    out, orders = finished.out, report(finished.out)["orders"]
    assert sorted(map(sorted, orders.values())) == [["beard", "hat"]] * 2, "two targets have two orders"
    assert orders["order-1"] != orders["order-2"]
    told = [line for line in finished.said.splitlines() if " stage " in line and " REC " in line]
    assert [" ".join(line.split()[:4]) for line in told] == [
        f"{preset}/{name} stage {number}/2 {target}"
        for name, order in orders.items()
        for preset in ("lora", "strong")
        for number, target in enumerate(order, start=1)
    ]
    for name, order in orders.items():
        first, second = stages(out, f"lora/{name}")
        assert (first.name, second.name) == (f"1-{order[0]}", f"2-{order[1]}")
        configs = [yaml.safe_load((stage / "run" / "config.yaml").read_text()) for stage in (first, second)]
        assert [config["train"]["start_from"] for config in configs] == [None, str(first / "run")]
        assert [config["data"] for config in configs] == [str(out / "data" / target) for target in order]
        _, metadata = read_safetensors(second / "run" / ADAPTER_FILE)
        assert metadata["spf_started_from"] == file_hash(first / "run" / ADAPTER_FILE)
    assert not list(out.rglob("claim-*"))


def test_results_hold_matrices_summaries_and_comparisons_with_intervals(finished) -> None:
    found = report(finished.out)
    assert (found["suite_label"], found["missing"], found["reference"]) == ("embedded portraits", [], "lora")
    for preset in found["presets"].values():
        assert set(preset["summary"]) == set(SUMMARIES)
        for value in preset["summary"].values():
            assert {"value", "ci", "order_sd"} <= set(value)
            assert value["order_sd"]["value"] >= 0
        for growth in ("rec_growth", "spi_growth"):
            assert preset["summary"][growth]["verdict"] in ("grows", "does not significantly grow")
        assert "one target a picture" in preset["joint_hit_rate"]["not_applicable"]
        for each in preset["orders"].values():
            for matrix in ("effect", "spi", "hit", "base_leak"):
                assert np.shape([[cell["value"] for cell in row] for row in each[matrix]]) == (2, 2)
        assert [len(curve) for curve in preset["stages"].values()] == [2, 2, 2]
    assert [each["measure"] for each in found["comparisons"]] == list(SUMMARIES)
    assert {each["against"] for each in found["comparisons"]} == {"strong"}


def test_summaries_are_those_of_the_stages_own_evaluations(finished) -> None:
    found = report(finished.out)["presets"]["strong"]
    for name, each in found["orders"].items():
        rec = []
        for k, stage in enumerate(stages(finished.out, f"strong/{name}")):
            for i, target in enumerate(each["order"]):
                judged = json.loads((stage / "evaluation" / target / "results.json").read_text())
                for matrix, score in (("effect", "effect"), ("spi", "spi"), ("hit", "hit_rate")):
                    assert each[matrix][k][i]["value"] == pytest.approx(judged[score]["value"], abs=1e-6)
                assert each["rec"][k]["value"] == pytest.approx(judged["rec"]["value"], abs=1e-6)
            rec.append(judged["rec"]["value"])
        assert each["summary"]["rec_growth"]["value"] == pytest.approx((rec[0] - rec[1]) / 100, abs=1e-6)
    values = [each["summary"]["final_rec"]["value"] for each in found["orders"].values()]
    assert found["summary"]["final_rec"]["value"] == pytest.approx(np.mean(values))
    assert found["summary"]["final_rec"]["order_sd"]["value"] == pytest.approx(np.std(values, ddof=1))


def test_explicit_and_silent_prompts_are_told_apart_after_the_last_stage(finished) -> None:
    found = report(finished.out)
    for name, preset in found["presets"].items():
        for stratum in ("explicit", "silent"):
            for score in ("sps", "effect", "spi", "hit_rate"):
                judged = [
                    json.loads((last / "evaluation" / target / "results.json").read_text())["strata"][stratum]
                    for each in preset["orders"]
                    for last in stages(finished.out, f"{name}/{each}")[-1:]
                    for target in preset["orders"][each]["order"]
                ]
                mean = np.mean([each[score]["value"] for each in judged])
                assert preset["strata"][stratum][score]["value"] == pytest.approx(mean, abs=1e-6)
    assert found["targets"]["hat"]["ceiling"]["explicit"]["sps"] > 0
    page = (finished.out / "results.md").read_text()
    assert "explicit: SPS" in page
    assert "*perfect edit*" in page


def test_a_stage_is_judged_as_evaluate_judges_its_run(spf, finished, tmp_path: Path) -> None:
    for stage in stages(finished.out, "strong/order-1"):
        target, out = stage.name[2:], tmp_path / stage.name
        done = spf("evaluate", stage / "run", "--prompts", 3, "--seeds", 1, "--out", out)
        assert done.code == 0, done.err
        said, kept = report(out), report(stage / "evaluation" / target)
        assert said["target"] == target
        for name in ("sps", "effect", "spi", "rec", "hit_rate", "base_leak"):
            assert said[name] == kept[name], (target, name)


def test_the_page_shows_orders_verdicts_and_figures(finished) -> None:
    page = (finished.out / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Continual customisation: embedded portraits\n")
    for name, order in report(finished.out)["orders"].items():
        assert f"- {name}: {', '.join(order)}" in page
    assert "grow: " in page or "grows: " in page
    assert "Not applicable here: the judge of this suite names one target a picture." in page
    for picture in ("stages.png", "matrices-lora.png", "matrices-strong.png"):
        assert f"]({picture})" in page
        with Image.open(finished.out / picture) as opened:
            assert min(opened.size) > 400


def test_a_second_call_computes_nothing_again(spf, finished) -> None:
    before = times(finished.out / "sequences")
    assert spf("continual", finished.file, "--out", finished.out).code == 0
    assert times(finished.out / "sequences") == before


def test_tables_are_rebuilt_from_finished_sequences_alone(spf, finished, copied: Path) -> None:
    (copied / "results.json").unlink()
    shutil.rmtree(stages(copied, "strong/order-2")[1] / "evaluation" / "hat")
    assert spf("continual", finished.file, "--out", copied, "--report-only").code == 0
    assert report(copied)["missing"] == ["strong/order-2"]
    assert report(copied)["comparisons"][0]["orders"] == ["order-1"]
    assert "**Incomplete**" in (copied / "results.md").read_text()
    done = spf("continual", finished.file, "--out", copied)
    assert done.code == 0, done.err
    assert report(copied) == report(finished.out), "only the missing evaluation was made again"


def test_a_stage_whose_start_changed_since_is_named(spf, finished, copied: Path) -> None:
    first, second = stages(copied, "lora/order-1")
    shutil.copy(stages(copied, "strong/order-1")[0] / "run" / ADAPTER_FILE, first / "run" / ADAPTER_FILE)
    refused = spf("continual", finished.file, "--out", copied)
    assert refused.fails_with(str(first), "is of other weights than the stage has now", "delete that folder")
    shutil.copy(second / "run" / ADAPTER_FILE, first / "run" / ADAPTER_FILE)
    shutil.rmtree(first / "evaluation")
    again = spf("continual", finished.file, "--out", copied)
    assert again.code == 2
    assert f"'{second}' started from other weights than stage 1 has now" in again.err


def test_presets_and_orders_may_be_added_and_nothing_else(
    spf, continual, copied: Path, tmp_path: Path
) -> None:
    more = write(tmp_path / "more.yaml", {**continual, "presets": ["naive", "lora", STRONG], "orders": 4})
    assert spf("continual", more, "--out", copied, "--report-only").code == 0
    assert report(copied)["missing"] == ["naive/order-1", "naive/order-2"]
    third = write(tmp_path / "third.yaml", {**continual, "targets": ["hat", "beard", "sketch"]})
    words = ("'targets' was ['hat', 'beard'] and is", "only presets and orders can be added")
    assert spf("continual", third, "--out", copied).fails_with(*words)
    fewer = write(tmp_path / "fewer.yaml", {**continual, "presets": ["naive", "lora", STRONG]})
    assert spf("continual", fewer, "--out", copied).fails_with("'orders' was 4 and is 3 now")


def test_prompts_for_two_targets_count_where_the_suite_can_judge_them(spf, continual, tmp_path: Path) -> None:
    changes = {"suite": "joint", "presets": ["lora"]}
    judged = {"evaluation": {"prompts": 3, "targets": "learned"}}
    file, out = write(tmp_path / "small.yaml", {**continual, **changes, **judged}), tmp_path / "out"
    with installed(JointConfig):
        done = spf("continual", file, "--out", out, "--only", "lora/order-1")
        reported = spf("continual", file, "--out", out, "--report-only")
    assert done.code == 0, done.err
    assert "sequences not finished: 1;" in done.out
    assert reported.code == 0, reported.err
    found = report(out)["presets"]["lora"]
    assert found["joint_hit_rate"]["value"] == pytest.approx(2 / 3)
    assert found["joint_hit_rate"]["original"]["value"] == pytest.approx(2 / 3)
    assert found["joint_hit_rate"]["pairs"] == ["beard + hat"]
    assert "Images that show both targets" in (out / "results.md").read_text()
    (each,) = found["orders"].values()
    assert each["spi"][0][1]["value"] is None, "the second target is not judged before it is learned"
    assert each["spi"][1][0]["value"] is not None
