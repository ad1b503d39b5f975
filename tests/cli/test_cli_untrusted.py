"""Run folders, settings and benchmarks from elsewhere: their code runs only when the user says so."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

EVIL = "open({mark!r}, 'w').write('it ran')\n"


@pytest.fixture(scope="module")
def run(
    spf, data: Path, tiny: list[str], plugin_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run whose loss comes from a file."""
    folder = tmp_path_factory.mktemp("own")
    file = shutil.copy(plugin_file, folder / "pull.py")
    args = ("--data", data, "--preset", "lora", "--steps", 1, "--plugin", file, "--out", folder / "run")
    trained = spf("train", *args, *tiny)
    assert trained.code == 0, trained.err
    file.unlink()
    return folder / "run"


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "ran"


@pytest.fixture
def evil(copied: Path, mark: Path) -> Path:
    """A run folder whose configuration names a file of its own that leaves a mark when it runs."""
    (copied / "evil.py").write_text(EVIL.format(mark=str(mark)))
    config = yaml.safe_load((copied / "config.yaml").read_text())
    config["plugins"] = [str(copied / "evil.py")]
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    return copied


def test_opening_a_run_of_somebody_else_runs_none_of_its_files(spf, evil: Path, mark: Path) -> None:
    text = ("--prompt", "a man", "--seeds", 1)
    commands = [
        ("report", evil),
        ("sample", evil, *text, "--out", evil / "a.png"),
        ("sample", "--run", evil, "--run", evil, *text, "--out", evil / "b.png"),
        ("attention", evil, "--prompt", "a man", "--token", "man", "--out", evil / "c.png"),
        ("export", evil, "--out", evil / "e.safetensors"),
        ("calibrate", evil, "--by", "response", "--strengths", "1", "--prompts", 1),
        ("train", "--resume", "--out", evil),
    ]
    for command in commands:
        done = spf(*command)
        assert not mark.exists(), command
        assert done.code == (2 if command[0] in {"attention", "train"} else 0), done.err
        assert "evil.py' (SHA-256 " in done.err, (command, done.err)
        assert f"--plugin {evil / 'evil.py'}" in done.err, (command, done.err)


def test_a_folder_that_the_user_allows_is_trusted(
    spf, evil: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPF_TRUSTED_FOLDERS", str(tmp_path / "elsewhere"))
    assert spf("report", evil).code == 0
    assert not mark.exists()
    monkeypatch.setenv("SPF_TRUSTED_FOLDERS", f"{tmp_path / 'elsewhere'}:{evil}")
    spf("report", evil)
    assert mark.exists()


def test_a_link_out_of_an_allowed_folder_is_not_trusted(
    spf, evil: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.move(evil / "evil.py", tmp_path / "evil.py")
    (evil / "evil.py").symlink_to(tmp_path / "evil.py")
    monkeypatch.setenv("SPF_TRUSTED_FOLDERS", str(evil))
    assert spf("report", evil).code == 0
    assert not mark.exists()


@pytest.mark.parametrize("command", ["benchmark", "continual", "train"])
def test_a_file_of_settings_runs_no_code_that_it_names(spf, tmp_path: Path, command: str) -> None:
    mark, plugin = tmp_path / "ran", tmp_path / "evil.py"
    plugin.write_text(EVIL.format(mark=str(mark)))
    runs = {"suite": "portraits", "targets": ["hat", "beard"], "presets": ["lora"]}
    settings = {"plugins": [str(plugin)], **({} if command == "train" else runs)}
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    named = ("--config", file, "--dry-run") if command == "train" else (file,)
    done = spf(command, *named, "--out", tmp_path / "out")
    assert done.fails_with(str(plugin), "only when you say so", f"--plugin {plugin}")
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_a_configuration_decides_what_it_uses_of_a_file_that_the_user_names(
    spf, plugin_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    settings = {"preset": "spf-paper", "plugins": [str(plugin_file)], "losses": {"pull": {"strength": 1.5}}}
    file.write_text(yaml.safe_dump(settings))
    shown = spf("config", "show", "--config", file, "--plugin", plugin_file)
    assert shown.code == 0, shown.err
    resolved = yaml.safe_load(shown.out)
    assert resolved["losses"]["pull"]["strength"] == 1.5
    assert resolved["control_map"]["name"] != "everywhere", "the file brings it, but nobody chose it"
    assert resolved["plugins"] == [str(plugin_file)]


def test_a_run_is_sampled_without_the_terms_of_its_training(spf, run: Path, tmp_path: Path) -> None:
    args = ("sample", run, "--prompt", "a man", "--seeds", 1, "--out")
    done = spf(*args, tmp_path / "without.png")
    assert done.code == 0, done.err
    assert "is read without the plugin file" in done.err
    copy = run / "plugins" / "pull.py"
    done = spf(*args, tmp_path / "with.png", "--plugin", copy)
    assert (done.code, "warning" in done.err) == (0, False), done.err
    assert (tmp_path / "with.png").read_bytes() == (tmp_path / "without.png").read_bytes()


def test_what_only_training_reads_is_kept_as_it_was_written(spf, copied: Path) -> None:
    from spf_core.plugins.discovery import load_plugins
    from spf_core.runs.saved_config import saved_config

    read = saved_config(copied, load_plugins())
    written = yaml.safe_load((copied / "config.yaml").read_text())
    assert read.model_dump(mode="json") == written
    assert read.losses["pull"].weight == 1.0


def test_resuming_needs_the_plugin_and_goes_on_with_the_copy_in_the_run(spf, copied: Path) -> None:
    (copied / "adapter.safetensors").unlink()
    copy = copied / "plugins" / "pull.py"
    refused = spf("train", "--resume", "--out", copied)
    assert refused.fails_with("pull.py", f"--plugin {copy}")
    assert not (copied / "adapter.safetensors").exists()
    resumed = spf("train", "--resume", "--out", copied, "--plugin", copy)
    assert resumed.code == 0, resumed.err
    assert "started with" not in resumed.err


def test_a_run_records_who_provided_its_components(run: Path) -> None:
    recorded = json.loads((run / "provenance.json").read_text())["plugins"]
    used = {each["name"]: each for each in recorded}
    assert {"mini", "lora-adapter", "denoising", "pull", "lora"} <= set(used)
    assert (used["pull"]["kind"], used["pull"]["provider"], used["pull"]["version"]) == (
        "loss",
        "pull.py",
        "file",
    )
    assert used["mini"]["provider"] == "spf"
    assert used["mini"]["version"]
    assert all(len(each["sha256"]) == 64 for each in recorded)


def test_resuming_with_another_state_of_a_plugin_is_said_and_recorded(spf, copied: Path) -> None:
    copy = copied / "plugins" / "pull.py"
    copy.write_text(copy.read_text() + "\n# another state\n")
    done = spf("train", "--resume", "--out", copied, "--plugin", copy)
    assert done.code == 0, done.err
    assert "loss 'pull': the run was started with the plugin file 'pull.py' (SHA-256 " in done.err
    (event,) = json.loads((copied / "provenance.json").read_text())["events"]
    assert "and goes on with" in event


def test_a_missing_package_that_sampling_needs_is_named(spf, copied: Path, tmp_path: Path) -> None:
    for name, text in (("config.yaml", "name: lora-adapter"), ("provenance.json", '"lora-adapter"')):
        file = copied / name
        assert text in file.read_text()
        file.write_text(file.read_text().replace("lora-adapter", "their-adapter"))
    record = copied / "provenance.json"
    record.write_text(record.read_text().replace('"provider": "spf"', '"provider": "their-package"'))
    done = spf("sample", copied, "--prompt", "a man", "--out", tmp_path / "g.png")
    assert "adapter 'their-adapter' of the package 'their-package' " in done.err
    assert "pip install their-package" in done.err
    assert done.code == 2
