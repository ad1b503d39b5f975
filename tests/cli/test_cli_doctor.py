"""`spf doctor`: what it looks at, what it calls broken, and that every such thing has a way out."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from spf_cli.doctor import machine
from spf_cli.doctor.finding import Finding


def line_of(out: str, subject: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith(f"{subject} ")]
    return line


def test_a_machine_that_runs_the_tests_is_ready(spf, tmp_path: Path) -> None:
    shown = spf("doctor", "--out", tmp_path / "runs" / "mine")
    assert shown.code == 0, shown.out
    for subject in ("python", "libraries", "bf16", "cache", "out", "plugins", "backbone mini"):
        assert " ok " in line_of(shown.out, subject) or " note " in line_of(shown.out, subject)
    assert line_of(shown.out, "backbone mini").split()[2:] == ["ok", "loads"]
    assert shown.out.endswith("ready\n")
    assert not (tmp_path / "runs").exists(), "looking writes nothing"


def test_a_library_out_of_range_is_broken_with_what_to_install() -> None:
    needs = [Requirement("torch>=99"), Requirement("no-such-library"), Requirement("rich>=1")]
    torch, absent = machine.libraries(needs)
    assert (torch.state, torch.way_out) == ("broken", "pip install 'torch>=99'")
    assert torch.found.endswith(", not >=99")
    assert absent == Finding("no-such-library", "broken", "not installed", "pip install 'no-such-library'")


def test_places_that_cannot_be_used_are_broken(spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "file" / "cache"))
    shown = spf("doctor", "--out", "/proc/runs")
    assert shown.code == 1
    cache, out = line_of(shown.out, "cache"), line_of(shown.out, "out")
    assert "BROKEN" in cache
    assert "is a file" in cache
    assert "set SPF_CACHE to a folder" in cache
    assert "BROKEN" in out
    assert "choose another --out" in out
    assert "2 broken" in shown.out


def test_a_full_disk_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST", 2**70)
    (cache,) = machine.places(None)
    assert (cache.subject, cache.state) == ("cache", "broken")
    assert cache.way_out.startswith("free some space")


def test_a_broken_plugin_is_named_and_the_rest_is_still_looked_at(
    spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spf]\nbad-plugin = bad_module\n")
    (tmp_path / "bad_module.py").write_text("raise RuntimeError('out of luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    shown = spf("doctor")
    assert shown.code == 1
    line = line_of(shown.out, "plugin bad-plugin")
    assert "RuntimeError: out of luck" in line
    assert "SPF_DISABLED_PLUGINS=bad-plugin" in line
    assert line_of(shown.out, "backbone mini").split()[2] == "ok"


def backbone_lines(spf, name: str, **options: object) -> tuple[int, str, str]:
    """The exit code, and what is said of the backbone and of CLIP."""
    sets = [part for key, value in options.items() for part in ("--set", f"backbone.{key}={value}")]
    with pytest.MonkeyPatch.context() as wide:
        wide.setenv("COLUMNS", "600")
        shown = spf("doctor", "--backbone", name, *sets)
    return shown.code, line_of(shown.out, f"backbone {name}"), line_of(shown.out, "CLIP")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that does not answer."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{filename}")


def test_a_published_model_in_a_folder_is_found_and_its_lacks_are_named(
    spf, tiny_xl_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    code, line, clip = backbone_lines(spf, "sdxl", path=tiny_xl_folder)
    assert code == 0
    assert f"folder '{tiny_xl_folder}'" in line
    assert f"folder '{tiny_xl_folder / 'clip'}'" in clip
    code, line, _ = backbone_lines(spf, "sdxl", path=tiny_folder)
    assert code == 1
    assert "holds a StableDiffusionPipeline" in line
    assert "set backbone.path to a complete StableDiffusionXLPipeline folder" in line
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"x")
    assert "is no .safetensors file" in backbone_lines(spf, "sd15", path=file)[1]


@pytest.mark.usefixtures("offline")
def test_a_local_file_is_found_without_the_hub_and_clip_is_named_as_a_second_need(
    spf, tmp_path: Path, tiny_folder: Path
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    code, line, clip = backbone_lines(spf, "sdxl", path=file)
    assert code == 1
    assert line.split()[2] == "ok"
    assert f"file '{file}'" in line
    for words in ("BROKEN", "backbone.clip: 'openai/clip-vit-large-patch14', 1.7 GB", "set backbone.clip to"):
        assert words in clip
    code, _, clip = backbone_lines(spf, "sdxl", path=file, clip=tiny_folder / "clip")
    assert code == 0
    assert f"folder '{tiny_folder / 'clip'}'" in clip


def test_a_path_that_does_not_exist_is_not_asked_of_the_hub(spf, tmp_path: Path, data: Path) -> None:
    gone = tmp_path / "models" / "sdxl.safetensors"
    code, line, _ = backbone_lines(spf, "sdxl", path=gone)
    assert code == 1
    assert f"backbone.path: '{gone}' does not exist" in line
    assert "hub id such as OWNER/NAME" in line
    trained = spf("train", "--data", data, "--backbone", "sdxl", "--set", f"backbone.path={gone}")
    assert trained.fails_with(f"backbone.path: '{gone}' does not exist")


@pytest.mark.usefixtures("offline")
def test_a_hub_that_does_not_answer_is_broken_with_three_ways_out(spf) -> None:
    code, line, _ = backbone_lines(spf, "sd15", path="nobody/nothing")
    assert code == 1
    for words in ("backbone.path: 'nobody/nothing'", "local folder, go online", "hf auth login"):
        assert words in line


def test_a_model_in_the_hubs_cache_needs_no_network(
    spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for repository, file in (("a--model", "model_index.json"), ("a--clip", "config.json")):
        snapshot = tmp_path / f"models--{repository}" / "snapshots" / "0"
        snapshot.mkdir(parents=True)
        (snapshot / file).write_text("{}")
        refs = snapshot.parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text("0")
    code, line, clip = backbone_lines(spf, "sd15", path="a/model", clip="a/clip")
    assert code == 0, line
    assert "'a/model' in the hub's cache" in line
    assert "'a/clip' in the hub's cache" in clip


def test_settings_of_other_sections_are_refused(spf) -> None:
    assert spf("doctor", "--set", "train.steps=1").fails_with("only settings of the backbone")
    assert spf("doctor", "--backbone", "sd16").code == 1
