"""The functions of the package `spf` do what the commands do, to the byte."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Spf

import spf as spf_python
from spf_core.errors import ConfigError, DataError, RunError

TIMES = {"seconds", "preparation_seconds", "peak_memory_mib"}
JUDGED = ("--target", "hat", "--suite", "portraits", "--prompts", "2", "--seeds", "1", "--device", "cpu")


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


def without_time(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "seconds"}


@pytest.fixture(scope="module")
def commanded(spf: Spf, data: Path, assigned: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `spf train` with the settings of the fixture `run`."""
    out = tmp_path_factory.mktemp("command") / "run"
    assert spf("train", "--data", data, "--out", out, "--preset", "lora", "--steps", 2, *assigned).code == 0
    return out


def test_train_writes_the_weights_settings_and_log_of_the_command(
    run: spf_python.Run, commanded: Path
) -> None:
    for name in ("adapter.safetensors", "config.yaml"):
        assert (run.path / name).read_bytes() == (commanded / name).read_bytes()
    assert log_of(run.path) == log_of(commanded)
    assert [line["step"] for line in run.log] == [1, 2]


def test_resume_extends_a_run_as_the_command_does(
    spf: Spf, trained: Callable[..., spf_python.Run], tmp_path: Path, data: Path, assigned: list[str]
) -> None:
    own, other = trained(), tmp_path / "run"
    assert spf("train", "--data", data, "--out", other, "--preset", "lora", "--steps", 2, *assigned).code == 0
    assert spf("train", "--out", other, "--steps", 3, "--resume").code == 0
    again = spf_python.resume(own, steps=3, progress=False)
    assert again.weights.read_bytes() == (other / "adapter.safetensors").read_bytes()
    assert len(again.log) == 3


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ((), {}),
        (
            ("--target", "wearing a hat", "--compare", "--seeds", 2, "--first-seed", 5, "--strength", 0.5),
            {"target": "wearing a hat", "compare": True, "seeds": 2, "first_seed": 5, "strength": 0.5},
        ),
        (
            ("--handover", 0.5, "--guidance", 2, "--steps", 3),
            {"handover": 0.5, "guidance": 2, "steps": 3},
        ),
    ],
)
def test_sample_writes_the_picture_of_the_command(
    spf: Spf, run: spf_python.Run, tmp_path: Path, flags: Sequence[Any], options: dict[str, Any]
) -> None:
    theirs, ours = tmp_path / "theirs.png", tmp_path / "ours.png"
    arguments = ("--prompt", "an old man", "--out", theirs, "--device", "cpu")
    assert spf("sample", run.path, *arguments, *flags).code == 0
    opened = spf_python.open_run(run.path, device="cpu")
    grid = spf_python.sample(opened, "an old man", out=ours, progress=False, **options)
    assert ours.read_bytes() == theirs.read_bytes()
    assert len(grid.images) == options.get("seeds", 4)
    assert list(grid.rows)[-1].startswith("tuned")
    assert grid._repr_png_().startswith(b"\x89PNG")


def test_each_prompt_of_a_prompt_file_has_the_grid_of_the_function(
    spf: Spf, run: spf_python.Run, tmp_path: Path
) -> None:
    prompts = ["an old man", "a young woman"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    more = ("--prompt-file", tmp_path / "prompts.txt", "--out", tmp_path / "theirs", "--seeds", 1)
    assert spf("sample", run.path, *more, "--device", "cpu").code == 0
    theirs = sorted((tmp_path / "theirs").iterdir())
    assert [file.name for file in theirs] == ["001-an-old-man.png", "002-a-young-woman.png"]
    opened = spf_python.open_run(run.path, device="cpu")
    for prompt, file in zip(prompts, theirs, strict=True):
        grid = spf_python.sample(opened, prompt, seeds=1, out=tmp_path / "ours.png", overwrite=True)
        assert grid.facts["prompt"] == prompt
        assert (tmp_path / "ours.png").read_bytes() == file.read_bytes()


def test_combined_runs_sample_as_the_command_combines_them(
    spf: Spf, run: spf_python.Run, commanded: Path, tmp_path: Path
) -> None:
    theirs, ours = tmp_path / "theirs.png", tmp_path / "ours.png"
    given = ("--run", run.path, "--run", commanded, "--strength", "0.8,1", "--seeds", 1, "--device", "cpu")
    assert spf("sample", *given, "--prompt", "an old man", "--out", theirs).code == 0
    both = spf_python.open_runs([run, commanded], [0.8, 1], device="cpu")
    spf_python.sample(both, "an old man", seeds=1, out=ours, progress=False)
    assert ours.read_bytes() == theirs.read_bytes()


def test_evaluate_finds_what_the_command_finds(spf: Spf, run: spf_python.Run, tmp_path: Path) -> None:
    done = spf("evaluate", run.path, *JUDGED, "--out", tmp_path / "theirs")
    assert done.code == 0, done.err
    opened = spf_python.open_run(run.path, device="cpu")
    found = spf_python.evaluate(
        opened, tmp_path / "ours", target="hat", suite="portraits", prompts=2, seeds=1, progress=False
    )
    assert without_time(tmp_path / "ours") == without_time(tmp_path / "theirs")
    assert (tmp_path / "ours/pairs.jsonl").read_bytes() == (tmp_path / "theirs/pairs.jsonl").read_bytes()
    assert set(found.results["sps"]) >= {"value", "ci"}
    assert len(found.pairs) == 2
    assert [row[0] for row in found.table.rows][:2] == ["sps", "sps_original"]
    assert found.pictures is not None
    shown = found._repr_html_()
    assert "<table>" in shown
    assert "data:image/png;base64," in shown
    side_by_side = spf_python.results_table({"one": found, "other": found})
    assert side_by_side.columns == ("measure", "one", "other", "meaning")


def test_prompts_of_ones_own_are_judged(run: spf_python.Run, tmp_path: Path) -> None:
    opened = spf_python.open_run(run.path, device="cpu")
    own = ["an old man", "a young woman"]
    found = spf_python.evaluate(
        opened, tmp_path / "out", target="hat", suite="portraits", prompts=own, seeds=1, progress=False
    )
    assert [pair["base_text"] for pair in found.pairs] == own


def test_export_writes_the_bytes_of_the_command(spf: Spf, run: spf_python.Run, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "a" / "hat.safetensors", tmp_path / "b" / "hat.safetensors"
    said = spf("export", run.path, "--out", theirs, "--precision", "fp16")
    written = spf_python.export(run, ours, precision="fp16")
    assert ours.read_bytes() == theirs.read_bytes()
    assert written.table is not None
    for client, *cells in written.table.rows:
        (line,) = [line for line in said.out.splitlines() if line.startswith(client)]
        assert line.split() == [client, *" ".join(cells).split()]
    assert "ComfyUI" in written._repr_html_()


def test_score_finds_what_the_command_finds(
    spf: Spf, run: spf_python.Run, tmp_path: Path, tiny_folder: Path
) -> None:
    file = spf_python.export(run, tmp_path / "hat.safetensors").path
    settings = {"backbone.path": tiny_folder, "sample.steps": 2}
    more = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    given = (file, "--backbone", "mini", "--target", "wearing a hat", "--prompts", 2, "--seeds", 1)
    done = spf("score", *given, "--device", "cpu", *more, "--out", tmp_path / "theirs")
    assert done.code == 0, done.err
    scored = spf_python.score(
        file,
        tmp_path / "ours",
        backbone="mini",
        target="wearing a hat",
        prompts=2,
        seeds=1,
        device="cpu",
        settings=settings,
        progress=False,
    )
    ((name, evaluation),) = scored.evaluations.items()
    assert without_time(tmp_path / "ours" / name) == without_time(tmp_path / "theirs" / name)
    assert not scored.failed
    assert scored.page.is_file()
    assert scored.table is not None
    assert name in scored.table.columns
    assert evaluation.path == tmp_path / "ours" / name


def test_a_run_shows_its_settings_and_samples(run: spf_python.Run) -> None:
    assert "lora on mini" in str(run)
    assert run.samples is not None
    assert "data:image/png;base64," in run._repr_html_()
    assert run.handover == 1.0
    assert run.config.train.batch_size == 2


def test_the_default_folder_is_that_of_the_command(
    data: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (f"{data.name}-lora", f"{data.name}-lora-2"):
        run = spf_python.train(data, preset="lora", steps=1, settings=settings, progress=False)
        assert run.path == Path("runs") / name


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"preset": "lorra"}, ConfigError, "Did you mean 'lora'?"),
        ({"settings": {"train.batchsize": 2}}, ConfigError, "batchsize"),
        ({"settings": {"preset": "spf"}}, ConfigError, "--preset spf"),
        ({"profile": "9gb"}, ConfigError, "choose one of 8gb, 12gb, 16gb, 24gb"),
        ({"data": "nowhere"}, DataError, "does not exist"),
    ],
)
def test_a_mistake_raises_one_line_and_writes_nothing(
    data: Path,
    settings: dict[str, Any],
    tmp_path: Path,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    given = {"data": data, "preset": "lora", "steps": 1, "progress": False, **options}
    given["settings"] = {**settings, **options.get("settings", {})}
    with pytest.raises(error) as raised:
        spf_python.train(out=tmp_path / "run", **given)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("seeds", 0, "seeds=0: give a whole number from 1"),
        ("seeds", 2.5, "seeds=2.5: give a whole number"),
        ("first_seed", -1, "first_seed=-1: give a whole number from 0"),
        ("strength", -0.5, "strength=-0.5: give a number from 0 on"),
        ("strength", float("nan"), "strength=nan: give a number from 0 on"),
        ("steps", 0, "sample.steps"),
        ("handover", 5, "sample.handover"),
        ("guidance", True, "sample.guidance"),
    ],
)
def test_a_number_out_of_range_is_one_line_as_on_the_command_line(
    run: spf_python.Run, tmp_path: Path, option: str, value: float, words: str
) -> None:
    given: dict[str, Any] = {option: value}
    with pytest.raises(ConfigError) as raised:
        spf_python.sample(run, "an old man", out=tmp_path / "a.png", progress=False, **given)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("seeds", 0, "seeds=0"),
        ("keep", -1, "keep=-1"),
        ("split", "train", "choose test or dev"),
        ("prompts", [], "the list is empty"),
        ("prompts", 0, "--prompts 0: give a number from 1"),
        ("strengths", [9.0], "--strengths 9"),
        ("target", "hatt", "Did you mean 'hat'?"),
    ],
)
def test_an_evaluation_that_cannot_be_made_is_one_line(
    run: spf_python.Run, tmp_path: Path, option: str, value: object, words: str
) -> None:
    given: dict[str, Any] = {"suite": "portraits", "target": "hat", "prompts": 1, option: value}
    with pytest.raises(ConfigError) as raised:
        spf_python.evaluate(run, tmp_path / "out", progress=False, **given)
    assert words in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="training data"):
        spf_python.open_run(data)
    with pytest.raises(RunError, match="is not a run folder"):
        spf_python.open_run(tmp_path)


def test_progress_is_heard_by_a_function_of_ones_own(trained: Callable[..., spf_python.Run]) -> None:
    heard = list[tuple[str, int, int]]()
    trained(progress=lambda stage, done, total, **values: heard.append((stage, done, total)))
    assert ("training", 2, 2) in heard


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'traine'; it has .*train"):
        spf_python.traine  # noqa: B018


def test_every_public_name_is_there() -> None:
    for name in spf_python.__all__:
        assert getattr(spf_python, name) is not None
