"""`spf export`, `spf push` and what they say."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import yaml
from hub import Hub, stand_in
from PIL import Image
from safetensors.torch import load

from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors, write_safetensors
from spf_core.runs.run import file_hash


@pytest.fixture(scope="module")
def run(spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "hat"
    settings = (
        "adapter.rank=4",
        "adapter.alpha=2",
        "sample.every=2",
        "sample.prompts=1",
        "sample.handover=0.5",
    )
    given = [part for setting in settings for part in ("--set", setting)]
    trained = spf("train", "--data", data, "--preset", "lora", "--out", out, "--steps", 2, *tiny, *given)
    assert trained.code == 0, trained.err
    return out


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with stand_in() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")
        yield hub


@pytest.fixture
def evaluation(run: Path, tmp_path: Path) -> Path:
    """As `spf evaluate` leaves it, of the run's very weights."""
    estimate = {"value": 91.5, "ci": [90.0, 93.0]}
    names = (
        "sps",
        "effect",
        "hit_rate",
        "hit_rate_original",
        "base_leak",
        "spi",
        "spi_original",
        "delta_spi",
        "rec",
    )
    results = {
        "suite_label": "embedded portraits",
        "target": "hat",
        "n_prompts": 100,
        "n_seeds": 2,
        "adapter_hash": file_hash(run / ADAPTER_FILE),
        **dict.fromkeys(names, estimate),
    }
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    Image.new("RGB", (8, 8), "teal").save(folder / "grid.png")
    return folder


def test_an_export_says_what_every_client_reads(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "hat.safetensors"
    done = spf("export", run, "--out", out)
    assert done.code == 0, done.err
    assert f"wrote {out}" in done.out
    assert "from 50 % of sampling on (t = 500 of 1000)" in done.out
    assert {file.name for file in tmp_path.iterdir()} == {
        "hat.safetensors",
        "hat.json",
    }
    lines = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line}
    assert lines["diffusers"] == ["32", "0", "0"]
    assert lines["ComfyUI"][:3] == ["-", "-", "-"], "no other program opens the tiny model"
    assert spf("export", run, "--out", out).fails_with(str(out), "--overwrite")
    assert spf("export", run, "--out", out, "--overwrite").code == 0
    out.unlink()
    assert spf("export", run, "--out", out).fails_with("hat.json", "--overwrite")
    assert spf("export", run, "--out", out, "--overwrite").code == 0
    assert read_safetensors(out)[0].keys() == read_safetensors(run / "hat.safetensors")[0].keys()


def test_a_check_that_finds_a_loss_ends_with_1(spf, run: Path, tmp_path: Path) -> None:
    whole = spf("export", run, "--check", run / "hat.safetensors")
    assert whole.code == 0, whole.err
    tensors, metadata = read_safetensors(run / "hat.safetensors")
    broken = tmp_path / "broken.safetensors"
    renamed = {name.replace("mid_block", "mid_blok"): tensor for name, tensor in tensors.items()}
    write_safetensors(broken, renamed, metadata)
    found = spf("export", run, "--check", broken)
    assert found.code == 1
    assert "fault: diffusers loses 'lora_unet_mid_blok_attentions_0" in found.err
    silent = {name: tensor for name, tensor in tensors.items() if not name.endswith(".alpha")}
    write_safetensors(broken, silent, metadata)
    found = spf("export", run, "--check", broken)
    assert found.code == 1
    assert "fault: diffusers scales wrongly" in found.err
    assert "and 31 more" in found.err


def test_a_checkpoint_is_checked_for_what_it_predicts(spf, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.safetensors"
    done = spf("export", run, "--format", "checkpoint", "--merge", "--out", out)
    assert done.code == 0, done.err
    assert f"{out} predicts epsilon" in done.out
    assert spf("export", "--check", out).code == 0
    tensors, metadata = read_safetensors(out)
    spec = {"modelspec.prediction_type": "v"}
    write_safetensors(out, tensors, metadata | spec)
    found = spf("export", "--check", out)
    assert found.code == 1
    assert f"{out} predicts v" in found.out
    assert "fault: diffusers assumes epsilon; give from_single_file config=FOLDER" in found.err
    assert ["ComfyUI", "-", "opens", "no", "such", "base", "model"] in [
        line.split() for line in found.out.splitlines()
    ]


OWN_FORMAT = """
from spf_core.plugins import ExporterConfig, hookimpl


class Names(ExporterConfig):
    \"\"\"The names of the trained tensors, as text.\"\"\"

    name = "names"

    def build(self):
        return lambda run: run.request.out.write_text("\\n".join(run.opened.adapter.state_dict()))


@hookimpl
def spf_register(register):
    register(Names)
"""


def test_a_format_of_a_plugin_may_be_any_file(spf, run: Path, tmp_path: Path) -> None:
    plugin, out = tmp_path / "names.py", tmp_path / "names.txt"
    plugin.write_text(OWN_FORMAT, encoding="utf-8")
    done = spf("export", run, "--plugin", plugin, "--format", "names", "--out", out)
    assert done.code == 0, done.err
    assert "to_q" in out.read_text(encoding="utf-8")
    assert "clients" not in done.out + done.err


def test_what_cannot_be_checked_or_written_is_one_line(spf, run: Path, tmp_path: Path) -> None:
    assert spf("export").fails_with("--out PATH", "--check FILE")
    assert spf("export", tmp_path, "--out", tmp_path / "x").fails_with("is not a run folder")
    assert spf("export", "--check", tmp_path / "x").fails_with("does not exist")
    assert spf("export", "--check", run / ADAPTER_FILE).fails_with(
        "neither sd_v1 nor", "spf export RUN --check"
    )
    assert spf("export", run, "--format", "diffusers", "--out", run).fails_with("not empty")
    assert spf("export", run, "--format", "checkpoint", "--out", tmp_path / "x").fails_with("add --merge")


def test_the_card_says_how_it_is_used_and_what_was_measured(
    spf, run: Path, evaluation: Path, tmp_path: Path
) -> None:
    out = tmp_path / "hat"
    args = ("--format", "diffusers", "--evaluation", evaluation, "--base-license", "creativeml-openrail-m")
    done = spf("export", run, *args, "--out", out)
    assert done.code == 0, done.err
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "samples.png",
        "pytorch_lora_weights.safetensors",
    }
    _, head, text = (out / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(head)
    assert matter["license"] == "creativeml-openrail-m"
    assert matter["instance_prompt"] == "wearing a hat"
    assert "base_model" not in matter, "a local folder is no base that others find"
    for words in (
        "# hat",
        "LoRA for `mini`",
        "load_lora_weights",
        "takes over with the target **from 50 % of sampling on (t = 500 of 1000)**",
        "A client that applies the weights from the first step may change more",
        "| sps | 91.5 [90.0, 93.0] |",
        "100 unseen prompts x 2 seeds",
        "![original and tuned, same seeds](samples.png)",
        "Rank 4, alpha 2, 32 layers",
        "creativeml-openrail-m.",
    ):
        assert words in " ".join(text.split()), words
    with Image.open(out / "samples.png") as picture:
        assert picture.getpixel((0, 0)) == (0, 128, 128)


def test_without_an_evaluation_the_card_shows_the_last_pictures_of_training(
    spf, run: Path, tmp_path: Path
) -> None:
    assert spf("export", run, "--format", "diffusers", "--out", tmp_path / "hat").code == 0
    text = (tmp_path / "hat" / "README.md").read_text()
    assert "## Evaluation" not in text
    assert "an old man, wearing a hat" in text
    assert "see the base model" in text
    assert (tmp_path / "hat" / "samples.png").read_bytes() == (
        run / "samples" / "step-000002-grid.png"
    ).read_bytes()


def test_an_evaluation_of_other_weights_is_refused(spf, run: Path, evaluation: Path, tmp_path: Path) -> None:
    args = ("export", run, "--format", "diffusers", "--out", tmp_path / "hat", "--evaluation")
    assert spf(*args, tmp_path).fails_with("has no results.json")
    results = json.loads((evaluation / "results.json").read_text())
    (evaluation / "results.json").write_text(json.dumps({**results, "adapter_hash": "0"}))
    assert spf(*args, evaluation).fails_with("evaluates other weights")
    assert not (tmp_path / "hat").exists()


def visibility(created: dict[str, object]) -> object:
    """As newer clients of the hub say it, or as older ones do."""
    return created.get("visibility") or ("private" if created.get("private") else "public")


def test_a_push_uploads_card_and_both_files_to_a_private_repository(spf, run: Path, hub: Hub) -> None:
    done = spf("push", run, "me/hat", "--yes")
    assert done.code == 0, done.err
    assert done.out.strip().endswith("/me/hat")
    (created,) = hub.created
    assert created["name"] == "hat"
    assert visibility(created) == "private"
    kohya, peft = "hat.safetensors", "pytorch_lora_weights.safetensors"
    assert set(hub.files) == {"README.md", "samples.png", kohya, peft}
    sent, own = load(hub.files[kohya]), load((run / kohya).read_bytes())
    assert sent.keys() == own.keys()
    assert all((sent[name] == own[name]).all() for name in own)


def test_a_public_repository_is_made_on_request_alone(spf, run: Path, hub: Hub) -> None:
    assert spf("push", run, "me/hat", "--yes", "--public").code == 0
    assert visibility(hub.created[0]) == "public"


def test_nothing_is_sent_unless_somebody_says_so(
    spf, run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe is nobody, and a person may say no."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert spf("push", run, "me/hat").fails_with("nothing was uploaded", "--yes")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: "private" not in question)
    assert spf("push", run, "me/hat").fails_with("nothing was uploaded")
    assert not hub.created
    assert not hub.files
    assert spf("push", run, "me/hat", "--public").code == 0, "yes"
    assert hub.files


def test_a_hub_that_refuses_or_is_not_there_is_one_line(
    spf, run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.refuse = True
    assert spf("push", run, "me/hat", "--yes").fails_with("'me/hat' was not uploaded", "403")
    assert spf("push", run, "not a name", "--yes").fails_with("'not a name' was not uploaded")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert spf("push", run, "me/hat", "--yes").fails_with("HF_HUB_OFFLINE is set")


def test_a_run_that_trained_whole_weights_is_pushed_as_a_model(
    spf, data: Path, tiny: list[str], hub: Hub, tmp_path: Path
) -> None:
    out = tmp_path / "whole"
    trained = spf("train", "--data", data, "--preset", "naive", "--out", out, "--steps", 1, *tiny)
    assert trained.code == 0, trained.err
    assert [file.name for file in out.glob("*.safetensors")] == [ADAPTER_FILE], "it is no LoRA"
    assert spf("export", out, "--out", tmp_path / "x").fails_with("trained whole weights")
    assert spf("push", out, "me/hat", "--yes").code == 0
    assert {"README.md", "model_index.json", "unet/diffusion_pytorch_model.safetensors"} <= set(hub.files)


def test_several_runs_draw_one_picture(spf, run: Path, data: Path, tiny: list[str], tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "grid.png"
    trained = spf("train", "--data", data, "--preset", "lora", "--out", other, "--steps", 1, *tiny)
    assert trained.code == 0, trained.err
    args = ("sample", "--prompt", "an old man", "--seeds", 1, "--out", out)
    both = ("--run", run, "--run", other)
    drawn = spf(*args, *both, "--strength", "0.8,1")
    assert drawn.code == 0, drawn.err
    with Image.open(out) as picture:
        assert picture.text["strength"] == "0.8,1"
        assert picture.text["run"].splitlines() == [run.name, other.name]
    out.unlink()
    assert spf(*args, *both, "--strength", "1,1,1").fails_with("3 strengths for 2 runs")
    assert spf(*args, *both, "--strength", "much").fails_with("--strength much", "numbers between commas")
    assert spf(*args, run, *both).fails_with("RUN and --run are both given", "one as RUN, or several")
    assert spf(*args).fails_with("no run is given", "one as RUN, or several")
    assert spf(*args, *both[:2], "--run", tmp_path).fails_with(str(tmp_path), "is not a run folder")
