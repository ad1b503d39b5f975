"""Paths of users: `~` is the home folder, and a run finds its files from every working directory."""

import copy
import pickle
import shutil
from pathlib import Path

import pytest
import yaml
from test_trainer import same, weights

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, InterruptedRunError, RunError
from spf_core.plugins import LossConfig
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import rows_of
from spf_core.runs.run import open_run, saved_config
from spf_core.training.loop import train
from spf_core.utils.paths import HubPath, UserPath, cache_folder, expanded, starting_in


class Reading(LossConfig):
    """A component as an author of plugins writes it."""

    name = "reading"
    path: UserPath | None = None
    model: HubPath = HubPath("owner/model")


@pytest.fixture
def work(tmp_path: Path, tiny_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and photos below it."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "models").mkdir()
    (folder / "models" / "tiny").symlink_to(tiny_folder)
    shutil.copytree(data, folder / "photos")
    monkeypatch.chdir(folder)
    return folder


def relative(plugins: Plugins, steps: int = 2, **train_settings: object) -> RunConfig:
    return load_run_config(
        plugins,
        preset="lora",
        overrides={"data": "photos", "train": {"steps": steps, "device": "cpu", **train_settings}},
        assignments=["backbone.path=models/tiny", "sample.every=0", "checkpoint.every=1"],
    )


def test_a_run_goes_on_from_any_folder_and_its_configuration_stays_as_it_was_given(
    plugins: Plugins, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(stage: str, done: int, total: int, **values: float) -> None:
        if stage == "training":
            raise KeyboardInterrupt

    train(relative(plugins), Path("whole"), plugins)
    with pytest.raises(InterruptedRunError):
        train(relative(plugins), Path("run"), plugins, progress=stop)
    before = Path("run/config.yaml").read_bytes()
    monkeypatch.chdir("/")
    config = saved_config(work / "run", plugins, trains=True)
    train(config, work / "run", plugins, resume=True)
    assert (work / "run" / "config.yaml").read_bytes() == before
    assert yaml.safe_load(before)["data"] == "photos"
    assert str(work).encode() not in (work / "run" / "adapter.safetensors").read_bytes()
    assert same(weights(work / "run"), weights(work / "whole"))
    assert open_run(work / "run", plugins).config.data == str(work / "photos")


def test_a_run_begins_with_another_one_that_lies_where_it_was_started(
    plugins: Plugins, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(relative(plugins), Path("first"), plugins)
    config = relative(plugins, start_from="first")
    Path("second").mkdir()
    Path("second/config.yaml").write_text(config.dump())
    Path("second/provenance.json").write_text(f'{{"started_in": "{work}"}}')
    monkeypatch.chdir("/")
    train(saved_config(work / "second", plugins, trains=True), work / "second", plugins, resume=True)
    assert yaml.safe_load((work / "second" / "config.yaml").read_text())["train"]["start_from"] == "first"


def test_settings_given_anew_elsewhere_are_written_as_the_run_sees_them(
    plugins: Plugins, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(relative(plugins), Path("run"), plugins)
    (work / "elsewhere").mkdir()
    shutil.move(work / "photos", work / "elsewhere" / "photos")
    (work / "elsewhere" / "models").symlink_to(work / "models")
    monkeypatch.chdir(work / "elsewhere")
    train(relative(plugins, steps=3), work / "run", plugins, resume=True)
    monkeypatch.chdir("/")
    assert saved_config(work / "run", plugins).data == str(work / "elsewhere" / "photos")


def test_a_moved_run_says_what_it_misses_and_the_way_out(
    plugins: Plugins, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(relative(plugins), Path("run"), plugins)
    monkeypatch.chdir("/")
    work.rename(tmp_path / "moved")
    run = tmp_path / "moved" / "run"
    uses = {
        ("photos", "--set data=PLACE"): lambda config: rows_of(config.preparation),
        ("models/tiny", "--set backbone.path=PLACE"): lambda config: open_run(run, plugins),
    }
    for parts, use in uses.items():
        with pytest.raises(RunError) as error:
            use(saved_config(run, plugins))
        assert all(part in str(error.value) for part in (str(work), "provenance.json", *parts))
    record = run / "provenance.json"
    record.write_text(record.read_text().replace(str(work), str(tmp_path / "moved")))
    assert len(rows_of(saved_config(run, plugins).preparation)) == 5
    open_run(run, plugins)


def test_hub_ids_are_no_paths_unless_such_a_folder_exists(tmp_path: Path) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    with starting_in(str(tmp_path)):
        assert HubPath("owner/model") == "owner/model"
        assert HubPath("here/model") == str(tmp_path / "here" / "model")
        assert HubPath("./owner/model") == str(tmp_path / "owner" / "model")
        assert HubPath("photos") == str(tmp_path / "photos")
        assert HubPath("/owner/model") == "/owner/model"
        assert Reading().model == "owner/model"


def test_the_home_folder_is_meant_by_every_path_and_saved_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with starting_in("/somewhere"):
        loss = Reading(path="~/x", model="~/y")
    assert (loss.path, loss.model) == (str(tmp_path / "x"), str(tmp_path / "y"))
    assert loss.model_dump(mode="json")["path"] == "~/x"
    assert loss.model_dump(mode="json", context={"started_in": "/other"})["path"] == "~/x"
    for name in ("SPF_CACHE", "SPF_METRICS_HOME"):
        monkeypatch.setenv(name, "~/kept")
    assert cache_folder() == tmp_path / "kept"


@pytest.mark.parametrize("text", ["~nobody-of-this-name", "~nobody-of-this-name/x"])
def test_a_home_folder_of_nobody_is_a_fault_of_one_line(plugins: Plugins, text: str) -> None:
    with pytest.raises(ConfigError, match="names no home folder"):
        expanded(text)
    with pytest.raises(ConfigError, match=r"data: .*names no home folder"):
        load_run_config(plugins, overrides={"data": text})


def test_paths_survive_copies(tmp_path: Path) -> None:
    with starting_in(str(tmp_path)):
        path = UserPath("photos")
    for again in (copy.deepcopy(path), pickle.loads(pickle.dumps(path))):
        assert (again, again.given, again.started_in) == (path, "photos", str(tmp_path))
