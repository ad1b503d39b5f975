"""Runs that go on with more steps, with their data elsewhere, or not at all."""

import json
import shutil
from pathlib import Path

import pytest
from test_trainer import config_of, same, weights

from spf_core.errors import InterruptedRunError, RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.provenance import read_provenance
from spf_core.runs.run import open_run, saved_config
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics


@pytest.fixture
def config(plugins: Plugins, tiny_folder: Path, data: Path):
    def make(*assignments: str, preset: str = "lora", steps: int = 4, data: Path = data):
        every = ("checkpoint.every=2", "checkpoint.keep=9")
        return config_of(plugins, tiny_folder, data, *every, *assignments, preset=preset, steps=steps)

    return make


@pytest.fixture
def moved(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "moved"))


def rewrite(folder: Path, change) -> None:
    file = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps(row) for row in change(rows)))


def test_an_extended_run_ends_like_one_that_was_longer_from_the_start(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    train(config(), tmp_path / "extended", plugins)
    train(config(steps=6), tmp_path / "extended", plugins, resume=True)
    train(config(steps=6), tmp_path / "whole", plugins)
    assert same(weights(tmp_path / "extended"), weights(tmp_path / "whole"))


def test_the_schedule_is_that_of_the_new_length_and_the_log_says_so(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    cosine, run = "optimizer.schedule=cosine", tmp_path / "run"
    train(config(cosine), run, plugins)
    first = weights(run)
    train(config(cosine, steps=8), run, plugins, resume=True)
    train(config(cosine, steps=8), tmp_path / "whole", plugins)
    rates, whole = (
        [line["learning_rate"] for line in read_metrics(each)] for each in (run, tmp_path / "whole")
    )
    assert rates[4:] == whole[4:]
    assert rates[:4] != whole[:4]
    lines = [line["step"] for line in read_metrics(run) if "event" in line]
    assert lines == [5]
    for said in (read_metrics(run)[4]["event"], read_provenance(run).events[-1]):
        assert "from 4 to 8 steps: the step size follows the cosine schedule of 8 steps" in said
    earlier = open_run(run / "earlier" / "step-000004", plugins, device="cpu")
    assert same(dict(earlier.adapter.state_dict()), first), "the weights of before can still be used"
    assert earlier.config.train.steps == 4


def test_terms_and_warm_up_keep_their_steps(config, plugins: Plugins, tmp_path: Path) -> None:
    settings = ("losses.fine-grained.start=0.5", "losses.denoising.stop=0.75", "optimizer.warmup=0.5")
    train(config(*settings, preset="spf-paper"), tmp_path / "run", plugins)
    train(config(*settings, preset="spf-paper", steps=10), tmp_path / "run", plugins, resume=True)
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines if "fine-grained" in line["terms"]] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert [line["step"] for line in lines if "denoising" in line["terms"]] == [1, 2, 3]
    assert len({line["learning_rate"] for line in lines[2:]}) == 1, "it does not warm up again"


def test_an_extension_that_is_interrupted_is_no_finished_run_and_loses_nothing(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    def press(stage: str, done: int, total: int, **values: float) -> None:
        if (stage, done) == ("training", 5):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    train(config(), run, plugins)
    first = weights(run)
    with pytest.raises(InterruptedRunError):
        train(config(steps=8), run, plugins, resume=True, progress=press)
    with pytest.raises(RunError, match="the run did not finish"):
        open_run(run, plugins)
    assert same(weights(run / "earlier" / "step-000004"), first)
    assert not (run / "run.safetensors").exists()
    train(saved_config(run, plugins), run, plugins, resume=True)
    train(config(steps=8), tmp_path / "whole", plugins)
    assert same(weights(run), weights(tmp_path / "whole"))
    assert len([line for line in read_metrics(run) if "event" in line]) == 1


def test_what_cannot_be_extended_is_refused_and_left_as_it_is(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    steps = ("adapter.warmup=0", "adapter.settle=0.4")
    train(config(*steps, preset="adalora"), run, plugins)
    with pytest.raises(
        RunError, match=r"train\.steps is 8 here, 4 in the run.*distributes its ranks.*--start-from"
    ):
        train(config(*steps, preset="adalora", steps=8), run, plugins, resume=True)
    with pytest.raises(RunError, match=r"train\.steps is 2 here, 4 in the run.*not shortened"):
        train(config(*steps, preset="adalora", steps=2), run, plugins, resume=True)
    assert (run / "adapter.safetensors").is_file()
    assert saved_config(run, plugins).train.steps == 4


def test_moved_data_is_followed_and_recorded(config, plugins: Plugins, moved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(), run, plugins)
    for name in "01234":
        (moved / f"{name}.png").rename(moved / f"renamed-{name}.png")
    rewrite(moved, lambda rows: [{**row, "file_name": f"renamed-{row['file_name']}"} for row in rows])
    train(config(steps=6, data=moved), run, plugins, resume=True)
    assert saved_config(run, plugins).data == str(moved)
    assert f"to '{moved}', with the same rows" in read_provenance(run).events[0]


CHANGES = {
    r"2 rows \(first: '3.png'\) gone": lambda rows: rows[:3],
    "the rows are in another order": lambda rows: rows[::-1],
    r"the texts of 1 row \('1.png'\) changed": lambda rows: [
        rows[0],
        {**rows[1], "base_text": "a man"},
        *rows[2:],
    ],
    r"1 row \('0.png'\) gone": lambda rows: rows[1:],
    "the texts of 5 rows": lambda rows: [{**row, "repeats": 2} for row in rows],
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_data_is_refused_with_what_changed(
    config, plugins: Plugins, moved: Path, tmp_path: Path, what: str
) -> None:
    run = tmp_path / "run"
    train(config(data=moved, steps=1), run, plugins)
    rewrite(moved, CHANGES[what])
    with pytest.raises(RunError, match=f"differs from that of the run .*: .*{what}.*--accept-changed-data"):
        train(config(data=moved, steps=2), run, plugins, resume=True)
    assert (run / "adapter.safetensors").is_file()


def test_changed_pictures_may_be_accepted_once_and_it_is_recorded(
    config, plugins: Plugins, moved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    train(config(data=moved, steps=1), run, plugins)
    shutil.copy(moved / "2.png", moved / "1.png")
    with pytest.raises(RunError, match=r"the image of 1 row \('1.png'\) changed"):
        train(config(data=moved, steps=2), run, plugins, resume=True)
    train(config(data=moved, steps=2), run, plugins, resume=True, accept_changed_data=True)
    assert "continues with changed data: the image of 1 row ('1.png') changed" in caplog.text
    assert any("changed data was accepted: the image" in event for event in read_provenance(run).events)
    train(config(data=moved, steps=3), run, plugins, resume=True)


def test_a_run_that_recorded_no_data_goes_on_and_records_it(config, plugins: Plugins, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(steps=1), run, plugins)
    (run / "provenance.json").unlink()
    train(config(steps=2), run, plugins, resume=True)
    assert len(read_provenance(run).data) == 5


@pytest.mark.parametrize("steps", [2, 3])
def test_a_finished_run_without_checkpoints_is_not_trained_again(
    config, plugins: Plugins, tmp_path: Path, steps: int
) -> None:
    run = tmp_path / "run"
    train(config(steps=2), run, plugins)
    shutil.rmtree(run / "checkpoints")
    (run / "provenance.json").unlink()
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(RunError, match=r"is finished and has no checkpoint to resume from.*--start-from"):
        train(config(steps=steps), run, plugins, resume=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_damaged_log_does_not_keep_a_run_from_going_on(config, plugins: Plugins, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config(steps=2), run, plugins)
    log = run / "metrics.jsonl"
    first, second = log.read_text().splitlines()
    log.write_bytes(f'{first}\nnull\n[1]\n{{"step": "x"}}\n'.encode() + b"\xff\n" + f"{second}\n".encode())
    train(config(steps=3), run, plugins, resume=True)
    assert [line["step"] for line in read_metrics(run)] == [1, 2, 3]
