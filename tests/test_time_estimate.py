"""The estimate of a run's time: the passes it counts, against the passes that a run makes."""

from pathlib import Path

import pytest
import torch
from test_trainer import config_of, noise_folder

from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.plan import preparation_stages
from spf_core.preparation.rows import prepare, rows_of, viewed_rows
from spf_core.runs.cache import cache_override
from spf_core.runs.run import open_backbone
from spf_core.training.resources.dry_run import duration_of, plan_of
from spf_core.training.resources.time_estimate import Duration, Stage, time_estimate
from spf_core.utils.progress import PlannedStage

SIZE = 32, 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("lora", ()),
        ("spf", ()),
        ("spf", ("counterfactuals.region=style",)),
        ("spf", ("counterfactuals.enabled=false", "control_map=sfcm-v1", "calibration.enabled=false")),
        ("spf-paper", ("train.noise_share=0.5",)),
        ("spf-paper", ("train.noise_share=0.5", "reference.name=bank", "reference.states=3")),
        ("spf", ("train.drawn_texts=1", "train.drawing_steps=10")),
    ],
)
def test_what_is_planned_before_the_first_step_is_what_happens(
    plugins: Plugins, tiny_folder: Path, data: Path, preset: str, settings: tuple[str, ...]
) -> None:
    config = config_of(plugins, tiny_folder, data, *settings, "sample.steps=20", preset=preset)
    backbone, passed = open_backbone(config.backbone, "cpu"), list[int]()
    backbone.denoiser.register_forward_pre_hook(lambda _, inputs: passed.append(len(inputs[0])))
    rows, reference = rows_of(config.preparation), built(config.reference) if config.reference else None
    recorded = config.reference.recorded_states if config.reference else 0
    planned = preparation_stages(
        viewed_rows(backbone, rows, config.preparation), config.preparation, recorded
    )
    ends: dict[str, tuple[int, int]] = {}

    def heard(stage: str, done: int, total: int, **_: float) -> None:
        ends[stage] = done, total

    with cache_override({}):
        prepare(backbone, rows, config.preparation, reference, progress=heard)
    assert list(ends) == [stage.name for stage in planned]
    assert list(ends.values()) == [(stage.units, stage.units) for stage in planned]
    assert sum(stage.units * stage.passes for stage in planned) == pytest.approx(sum(passed), rel=0.1)


def test_a_stage_is_where_the_same_terms_count(plugins: Plugins, tiny_folder: Path, data: Path) -> None:
    config = config_of(plugins, tiny_folder, data, "train.accumulation=2", steps=10, preset="spf")
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    adapter.attach(backbone)
    before = {name: tensor.clone() for name, tensor in backbone.denoiser.state_dict().items()}
    found = time_estimate(
        config, backbone, adapter, [row.prompt for row in rows_of(config.preparation)], SIZE
    )
    assert [(stage.first, stage.last) for stage in found.stages] == [(1, 8), (9, 10)]
    assert all(stage.seconds > found.row_seconds > 0 for stage in found.stages)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.denoiser.state_dict().items())
    assert all(parameter.grad is None for parameter in adapter.parameters())


def test_stages_add_up() -> None:
    found = Duration(
        (Stage(1, 8, 1.0), Stage(9, 10, 3.0)), 0.5, accumulation=2, unit_seconds={"relevance": 3}
    )
    assert found.training == found.of(PlannedStage("training", 10, "steps", 8)) == 2 * (8 * 1 + 2 * 3)
    assert found.of(PlannedStage("class images", 4, "images", 40)) == 4 * 40 * 0.5
    assert found.of(PlannedStage("relevance", 4, "images")) == 4 * 3


@pytest.mark.slow
def test_a_plan_tells_the_time(plugins: Plugins, tiny_folder: Path, data: Path) -> None:
    settings = ("train.accumulation=2", "sample.steps=4")
    time = {
        name: rest
        for name, *rest in plan_of(
            config_of(plugins, tiny_folder, data, *settings, steps=10, preset="spf")
        ).time
    }
    assert list(time)[-3:] == ["in all", "a step, 1 to 8", "a step, 9 to 10"]
    assert list(time)[1] == "stage 2 of 7: class images"
    assert ": 2 passes of " in time["a step, 1 to 8"][-1]
    assert all(told[-1] for told in time.values())
    alone = plan_of(config_of(plugins, tiny_folder, data, steps=10, preset="lora")).time
    assert [name for name, *_ in alone] == [
        "stage 1 of 2: encoding images",
        "stage 2 of 2: training",
        "in all",
        "a step, 1 to 10",
    ]


def test_a_pass_that_fails_leaves_the_plan_without_times(
    plugins: Plugins, tiny_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("spf_core.training.resources.time_estimate.dual_path_step", full)
    plan = plan_of(config_of(plugins, tiny_folder, data, preset="lora"))
    assert plan.sizes
    name, told, *_ = plan.time[-1]
    assert name == "time"
    assert told.startswith("not known: a pass cannot be timed (OutOfMemoryError: CUDA out of memory.")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0312, "0.031 s"), (4.2, "4.2 s"), (59, "59 s"), (3661.4, "1:01:01")]
)
def test_durations_are_for_people(seconds: float, told: str) -> None:
    assert duration_of(seconds) == told
