"""A folder of `spf score` on photographs: files side by side, what fails among them, and what is kept."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spf_lab.evaluation.saved import read_evaluation

Command = Callable[..., list[object]]


@pytest.fixture
def command(tiny_folder: Path, tiny_xl_folder: Path, tmp_path: Path) -> Command:
    """`spf score` with few prompts and steps; the target is any text."""

    def make(*files: Path, backbone: str = "sd15", out: str = "scored") -> list[object]:
        path = tiny_xl_folder if backbone == "sdxl" else tiny_folder
        settings = [f"backbone.path={path}", "sample.steps=2", "sample.precision=no"]
        given = [part for setting in settings for part in ("--set", setting)]
        size = ("--prompts", 2, "--seeds", 1, "--keep", 1)
        options = ("--backbone", backbone, "--target", "wearing a hat", *size, "--device", "cpu")
        return ["score", *files, *options, *given, "--out", tmp_path / out]

    return make


def results(folder: Path) -> Any:
    return read_evaluation(folder)[0]


@pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
def test_a_file_of_a_model_site_on_photographs(
    backbone: str, spf: Any, files: Path, command: Command, tmp_path: Path
) -> None:
    told = spf(*command(files / f"{backbone}.safetensors", backbone=backbone))
    assert told.code == 0, told.err
    found = results(tmp_path / "scored" / backbone)
    assert found["suite"] == "photos"
    assert found["target"] == found["target_text"] == "wearing a hat"
    assert found["sampling"]["handover"] == 1
    assert found["sampling"]["guidance"] == {"sd15": 7.5, "sdxl": 5.0}[backbone]
    assert found["rec"]["value"] < 100
    assert (tmp_path / "scored" / "report.html").is_file()


def test_strengths_and_handovers(spf: Any, files: Path, command: Command, tmp_path: Path) -> None:
    for strength in (0, 0.2, 0.8):
        done = spf(*command(files / "sd15.safetensors", out=f"at-{strength}"), "--strength", strength)
        assert done.code == 0, done.err
    none, some, more = (results(tmp_path / f"at-{strength}" / "sd15") for strength in (0, 0.2, 0.8))
    assert none["rec"]["value"] == 100
    same = pytest.approx(none["spi_original"]["value"], abs=1e-6)  # batches of a judge may round otherwise
    assert none["spi"]["value"] == same
    assert 100 > some["rec"]["value"] > more["rec"]["value"]
    done = spf(*command(files / "sd15.safetensors", out="late"), "--handover", 0.1)
    assert done.code == 0, done.err
    assert results(tmp_path / "late" / "sd15")["sampling"]["handover"] == 0.1
    assert results(tmp_path / "late" / "sd15")["rec"]["value"] > 0


def test_failures_stand_beside_the_files_that_finish(
    spf: Any, files: Path, command: Command, tmp_path: Path
) -> None:
    out, danger = tmp_path / "scored", tmp_path / "style.pt"
    danger.write_bytes(b"anything")
    outcome = spf(*command(files / "sdxl.safetensors", files / "sd15.safetensors", danger, tmp_path / "none"))
    assert outcome.code == 2
    (fault,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert "3 of 4 files failed" in fault
    record = json.loads((out / "score.json").read_text(encoding="utf-8"))["files"]
    failed = {name: each["failed"] for name, each in record.items()}
    assert failed["sd15"] is None
    assert "has another size than its layer" in failed["sdxl"]
    assert "can run code" in failed["style"]
    assert "does not exist" in failed["none"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "can run code" in page
    assert "can run code" in outcome.out
    for file in (out / "score.json", out / "report.html", out / "sd15" / "results.json"):
        assert str(tmp_path) not in file.read_text(encoding="utf-8")
        assert str(files) not in file.read_text(encoding="utf-8")
    again = spf(*command(files / "sdxl.safetensors", out="alone"))
    assert again.fails_with("has another size than its layer", "--backbone")
    assert not (tmp_path / "alone").exists()


def test_the_same_command_keeps_what_is_scored(
    spf: Any, files: Path, command: Command, tmp_path: Path
) -> None:
    file, out = tmp_path / "file.safetensors", tmp_path / "scored"
    shutil.copy(files / "sd15.safetensors", file)
    assert spf(*command(file)).code == 0
    written = out / "file" / "results.json"
    before = written.stat().st_mtime_ns
    assert spf(*command(file, "--strength", "0.5")).fails_with("other options", "choose another --out")
    twice = spf(*command(file, files / "sd15.safetensors"))
    assert twice.code == 0, twice.err
    assert written.stat().st_mtime_ns == before
    assert results(out / "file")["rec"] == results(out / "sd15")["rec"]
    page = (out / "report.html").read_text(encoding="utf-8")
    (out / "report.html").unlink()
    assert spf("report", out).out.strip() == f"wrote {out / 'report.html'}"
    assert (out / "report.html").read_text(encoding="utf-8") == page
    changed = json.loads((out / "score.json").read_text(encoding="utf-8"))
    changed["files"]["file"]["sha256"] = "0" * 64  # as if it had been another file then
    (out / "score.json").write_text(json.dumps(changed), encoding="utf-8")
    assert spf(*command(file)).code == 0
    assert written.stat().st_mtime_ns != before


def test_files_of_one_name(spf: Any, files: Path, command: Command, tmp_path: Path) -> None:
    places = [tmp_path / each / "pytorch_lora_weights.safetensors" for each in ("a", "b/a")]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files / "sd15.safetensors", place)
    done = spf(*command(*places))
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "scored").iterdir() if path.is_dir()} == {"a", "a-2"}


def test_damaged_records_are_refused(spf: Any, tmp_path: Path) -> None:
    file = {"file": "x", "kind": "run", "sha256": "", "strength": 1.0}
    record: dict[str, Any] = {"target": "x", "settings": {}, "settings_hash": "0", "files": {"../y": file}}
    (tmp_path / "score.json").write_text(json.dumps(record), encoding="utf-8")
    assert spf("report", tmp_path).fails_with("score.json", "damaged")
    (tmp_path / "score.json").write_text("{", encoding="utf-8")
    assert spf("report", tmp_path).fails_with("score.json", "damaged")
