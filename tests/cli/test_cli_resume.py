"""`spf train --resume`: what is given again is compared by its name, and what works on an extended run."""

import shutil
from pathlib import Path

import pytest
import yaml

from spf_core.runs.checkpoint import read_safetensors, write_safetensors


@pytest.fixture(scope="module")
def finished(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    done = spf("train", "--data", data, "--preset", "lora", "--out", out, "--steps", 2, *tiny)
    assert done.code == 0, done.err
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--steps", 1), ("train.steps is 1 here, 2 in the run", "not shortened")),
        (("--seed", 3), ("train.seed is 3 here, 0 in the run",)),
        (("--preset", "naive"), ("preset is 'naive' here, 'lora' in the run",)),
        (("--set", "adapter.rank=2"), ("adapter.rank is 2 here, 8 in the run",)),
        (("--set", "losses.denoising.weight=2"), ("losses.denoising.weight is 2.0 here, 1.0 in the run",)),
        (("--seed", 3, "--evaluate-every", 9), ("train.seed", "and 1 more: evaluation.every")),
        (("--backbone", "sd15"), ("backbone.name is 'sd15' here, 'mini' in the run",)),
        (("--data", "nowhere"), ("'nowhere' does not exist",)),
    ],
)
def test_what_differs_is_named_with_both_values(spf, run: Path, given, words) -> None:
    assert spf("train", "--resume", "--out", run, *given).fails_with(*words)


def test_what_is_given_again_with_its_value_is_fine(spf, run: Path, tmp_path: Path, data: Path) -> None:
    file = tmp_path / "again.yaml"
    file.write_text("preset: lora\ntrain: {batch_size: 2}\nadapter: {rank: 8}\n")
    done = spf("train", "--resume", "--out", run, "--config", file, "--steps", 2, "--data", data)
    assert done.code == 0, done.err


def test_a_moved_base_model_is_followed_and_another_one_refused(
    spf, run: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(tiny_folder, tmp_path / "moved"))
    place = ("--set", f"backbone.path={moved}")
    assert spf("train", "--resume", "--out", run, "--steps", 3, *place).code == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["backbone"]["path"] == str(moved)
    file = moved / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, metadata = read_safetensors(file)
    write_safetensors(file, {name: 2 * each for name, each in tensors.items()}, metadata)
    before = (run / "config.yaml").read_bytes()
    again = spf("train", "--resume", "--out", run, "--steps", 4, *place)
    assert again.code == 2
    assert "was trained on the backbone with hash" in again.err
    assert (run / "config.yaml").read_bytes() == before


def test_an_extended_run_says_so_and_can_be_sampled_and_reported(spf, run: Path, tmp_path: Path) -> None:
    done = spf("train", "--resume", "--out", run, "--steps", 3)
    assert done.code == 0, done.err
    assert "note: the run is extended after step 2, from 2 to 3 steps: the step size stays" in done.err
    assert yaml.safe_load((run / "config.yaml").read_text())["train"]["steps"] == 3
    assert spf("train", "--resume", "--out", run, "--steps", 3).code == 0
    for each in (run, run / "earlier" / "step-000002"):
        picture = tmp_path / f"{each.name}.png"
        sampled = spf("sample", each, "--prompt", "an old man", "--seeds", 1, "--out", picture)
        assert sampled.code == 0, sampled.err
        page = spf("report", each)
        assert page.code == 0, page.err


def test_changed_data_needs_a_word(spf, run: Path, data: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(data, tmp_path / "other"))
    lines = (other / "metadata.jsonl").read_text().splitlines()
    (other / "metadata.jsonl").write_text("\n".join(lines[1:]))
    again = ("train", "--resume", "--out", run, "--steps", 3, "--data", other)
    assert spf(*again).code == 2
    done = spf(*again, "--accept-changed-data")
    assert done.code == 0, done.err
    assert "changed data" in done.err
    assert spf("train", "--data", data, "--accept-changed-data").fails_with("goes with --resume")
