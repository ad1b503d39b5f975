"""Trainings compute the bits that they computed when `same_bits.json` was recorded.

Every case runs `spf train` and `spf sample` as a user does. A change that moves code and keeps behaviour
passes unchanged. A change that alters numbers on purpose records again, and its commit says why:

    python tests/test_same_bits.py --record

The processes run without the instructions that only some processors have. Bits may still depend on the
processor, on its caches, and on the versions of the libraries. So diffusers alone computes the gradient of a
small UNet first: where its bits or the versions are not the recorded ones, the tests skip.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import load_file

from spf_core.testing.tiny_models import random_folder, tiny_pipeline, tiny_xl_pipeline

pytestmark = pytest.mark.slow
RECORDED = Path(__file__).with_name("same_bits.json")
LIBRARIES = (
    *("torch", "diffusers", "transformers", "peft", "accelerate", "tokenizers"),
    *("numpy", "scipy", "pillow", "resvg_py"),
)

# What a process may not choose by itself: how many threads add up a sum, and which instructions they use.
PORTABLE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}

# Reads one list of commands a case from stdin; what it writes to --out says what the process computed with.
WORKER = """
import json, sys
import numpy, torch
from spf_cli.main import main

for arguments in json.load(sys.stdin):
    try:
        main(arguments)
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"spf {' '.join(arguments)} ended with {ended.code}")
used = {
    "capability": torch.backends.cpu.get_cpu_capability(),
    "threads": torch.get_num_threads(),
    "numpy": numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", []),
}
with open(sys.argv[1], "w") as file:
    json.dump(used, file)
"""

# What this machine computes without any code of spf: processors of one name may have other caches.
PROBE = """
import hashlib, sys
import torch
from diffusers import UNet2DConditionModel

unet = UNet2DConditionModel.from_pretrained(sys.argv[1])
generator = torch.Generator().manual_seed(0)
width, channels, side = (unet.config[name] for name in ("cross_attention_dim", "in_channels", "sample_size"))
shapes = (channels, side, side), (77, width)  # those of a training: smaller sums may agree where these do not
latents, texts = (torch.randn(2, *shape, generator=generator) for shape in shapes)
unet(latents, torch.tensor([10, 900]), texts).sample.square().mean().backward()
total = hashlib.sha256()
for parameter in unet.parameters():
    total.update(parameter.grad.numpy().tobytes())
print(total.hexdigest())
"""
MINI = Path(__file__).parents[1] / "plugins" / "spf_portraits" / "weights" / "mini" / "unet"

# The names of options and files stand here alone: when one is renamed, this is the place.
COMMON = {"train.device": "cpu", "train.batch_size": 2, "sample.every": 0, "sample.steps": 3}
PUBLISHED = {"train.accumulation": 1, "train.precision": "no", "sample.precision": "no"}  # as `mini` has it
PUBLISHED |= {"optimizer.learning_rate": 5e-3}  # so large that the pictures change
SPF = {"calibration.prompts": 2, "train.text_variants": 2, "response.share": 0.5}
BANK = {"reference.name": "bank", "reference.states": 2, "train.noise_share": 0.5}
TUNED_TEXT = {"adapter.text_encoder": True, "optimizer.text_encoder_learning_rate": 1e-3}
BUCKETS = {"dataset.buckets": True, "dataset.flip": True}
SFCM_V2 = {"control_map": "sfcm-v2"}
AVERAGED = {"train.accumulation": 2, "train.ema_decay": 0.9, "train.noise_offset": 0.1}
TEXTS = {"train.text_variants": 3, "train.caption_dropout": 0.3, "train.release": '["red hair"]'}
WEIGHTS, LOG, CALIBRATION = "adapter.safetensors", "metrics.jsonl", "calibration.json"
LOGGED = ("step", "loss", "terms", "map_mean", "learning_rate", "gradient_norm")  # not times and memory
STEPS = 5  # the last one begins at 0.8 of training, where the late terms of `spf` start
LAST_CELL = (192, 6)  # side of the last picture of a grid in pixels, and the gap behind it

# preset and settings of each case
CASES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "mini": {
        "lora": ("lora", {}),
        "spf-paper": ("spf-paper", {}),
        "spf": ("spf", SPF | {"calibration.prompts": 1}),
        "naive": ("naive", {}),
    },
    "sd15": {
        "lora": ("lora", AVERAGED),
        "spf-paper": ("spf-paper", {}),
        "spf": ("spf", SPF),
        "prior-prediction": ("prior-prediction", {}),
        "bank": ("spf-paper", BANK),
        "sfcm-v2": ("spf-paper", SFCM_V2),
        "text-encoder": ("spf-paper", TUNED_TEXT),
        "texts": ("spf-paper", TEXTS),
        "style": ("spf-style", SPF),
        "adalora": ("adalora", {}),
        "purecc": ("purecc", {}),
        "class-images": ("class-images", {}),
        "masked-prior": ("masked-prior", {}),
        "slider": ("slider", {}),
        "refl": ("refl", {}),
        "magnet": ("magnet", {}),
    },
    "sdxl": {
        "lora": ("lora", {}),
        "spf-paper": ("spf-paper", {}),
        "spf": ("spf", SPF),
        "text-encoder": ("spf-paper", TUNED_TEXT),
        "buckets": ("lora", BUCKETS),
    },
}
NAMES = [f"{backbone}/{case}" for backbone, cases in CASES.items() for case in cases]


def versions() -> dict[str, str]:
    machine = {"machine": f"{platform.system()} {platform.machine()}", "arithmetic": arithmetic()}
    return machine | {each: version(each) for each in LIBRARIES}


def arithmetic() -> str:
    """Hash of a gradient as this machine and its libraries compute it."""
    asked = [sys.executable, "-c", PROBE, str(MINI)]
    done = subprocess.run(
        asked, env={**os.environ, **PORTABLE}, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def hashed(*parts: bytes | str) -> str:
    """SHA-256 of the parts; lengths come first, so that no two lists of parts are taken for one another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def hash_of_tensors(file: Path) -> str:
    tensors = sorted(load_file(file).items())
    return hashed(
        *(
            part
            for name, tensor in tensors
            for part in (name, str(tensor.dtype), str(tensor.shape), tensor.tobytes())
        )
    )


def hash_of_pixels(picture: Image.Image) -> str:
    return hashed(picture.mode, str(picture.size), picture.tobytes())


def hash_of_drawn(file: Path) -> str:
    """The last picture of a grid, without the labels beside it."""
    side, gap = LAST_CELL
    with Image.open(file) as grid:
        right, bottom = grid.width - gap, grid.height - gap
        return hash_of_pixels(grid.convert("RGB").crop((right - side, bottom - side, right, bottom)))


def hash_of_folder(folder: Path) -> str:
    """Names, texts and tables as they are, pictures by their pixels, weights by their tensors."""
    parts: list[str] = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        if file.suffix == ".png":
            with Image.open(file) as picture:
                content = hash_of_pixels(picture)
        elif file.suffix == ".safetensors":
            content = hash_of_tensors(file)
        elif file.suffix == ".jsonl":
            content = hashed(file.read_bytes())
        else:
            continue
        parts += [file.relative_to(folder).as_posix(), content]
    return hashed(*parts)


def found_in(run: Path, picture: Path) -> dict[str, Any]:
    """What a finished run computed: its losses in plain text, everything else as a hash."""
    lines = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    kept = [{key: line[key] for key in LOGGED} for line in lines]
    found = {
        "losses": [line["loss"] for line in lines],
        "log": hashed(json.dumps(kept, sort_keys=True)),
        "weights": hash_of_tensors(run / WEIGHTS),
        "picture": hash_of_drawn(picture),
    }
    if (run / CALIBRATION).is_file():
        calibration = json.loads((run / CALIBRATION).read_text(encoding="utf-8"))
        found["handover"] = calibration["handover"]
        found["calibration"] = hashed(json.dumps(calibration["responses"], sort_keys=True))
    return found


def write_photos(folder: Path) -> None:
    """Four rows with pictures of three shapes, and a mask for each."""
    (folder / "masks").mkdir(parents=True)
    texts = ["an old man", "a young woman with red hair", "a man in the park, red hair", "a young man"]
    noise, rows = random.Random(0), []
    for number, (text, size) in enumerate(zip(texts, ((64, 32), (40, 40), (32, 64), (64, 32)), strict=True)):
        picture = Image.frombytes("RGB", (8, 8), noise.randbytes(192)).resize(size, Image.Resampling.NEAREST)
        picture.save(folder / f"{number}.png")
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).rectangle((8, 8, 24, 24), fill=255)
        mask.save(folder / "masks" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "base_text": text, "target_text": "wearing a hat"})
        rows[-1]["mask"] = f"masks/{number}.png"
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def commands(backbone: str, folder: Path) -> list[list[str]]:
    """Arguments of `spf` for the cases of a backbone; only `mini` trains on portraits, and its own texts."""
    data, listed = folder / ("portraits" if backbone == "mini" else "photos"), list[list[str]]()
    base = {} if backbone == "mini" else {"backbone.path": folder / backbone, **PUBLISHED}
    if backbone == "mini":
        listed.append(["data", "portraits", "--target", "hat", "--count", "2", "--out", str(data)])
    for case, (preset, settings) in CASES[backbone].items():
        run = folder / "runs" / backbone / case
        assignments = [f"{key}={value}" for key, value in (COMMON | base | settings).items()]
        chosen = [part for each in assignments for part in ("--set", each)]
        where = ["--data", str(data), "--out", str(run), "--steps", str(STEPS)]
        listed.append(["train", "--backbone", backbone, "--preset", preset, *where, *chosen])
        texts = ["--prompt", "a young woman, red hair", "--target", "wearing a hat"]
        out = ["--seeds", "1", "--device", "cpu", "--out", f"{run}.png"]
        listed.append(["sample", str(run), *texts, *out])
    return listed


def computed(folder: Path) -> dict[str, Any]:
    """What the cases compute now: one process for each backbone, all at once."""
    write_photos(folder / "photos")
    random_folder(tiny_pipeline, folder / "sd15")
    random_folder(tiny_xl_pipeline, folder / "sdxl")
    running = []
    for backbone in CASES:
        environment = {**os.environ, **PORTABLE, "SPF_CACHE": str(folder / "cache" / backbone)}
        said = (folder / f"{backbone}.txt").open("w", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder / f"{backbone}.json")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin
        process.stdin.write(json.dumps(commands(backbone, folder)))
        process.stdin.close()
        running.append((backbone, process, said))
    for backbone, process, said in running:
        code = process.wait()
        said.close()
        assert code == 0, (folder / f"{backbone}.txt").read_text(encoding="utf-8")[-2000:]
    runs = folder / "runs"
    return {
        "versions": versions(),
        "used": {each: json.loads((folder / f"{each}.json").read_text()) for each in CASES},
        "inputs": {each: hash_of_folder(folder / each) for each in ("photos", "portraits", "sd15", "sdxl")},
        "cases": {name: found_in(runs / name, runs / f"{name}.png") for name in NAMES},
    }


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the cases compute now; skipped where other libraries computed what was recorded."""
    before, installed = recorded()["versions"], versions()
    others = [
        f"{name} {before[name]}, here {installed[name]}" for name in before if before[name] != installed[name]
    ]
    if others:
        pytest.skip(f"the bits were recorded with {'; '.join(others)}")
    return computed(tmp_path_factory.mktemp("bits"))


def test_the_inputs_are_those_that_were_recorded(now: dict[str, Any]) -> None:
    """Where this fails, the other tests compare two different trainings."""
    assert now["inputs"] == recorded()["inputs"]


def test_no_process_used_what_only_some_processors_have(now: dict[str, Any]) -> None:
    for used in now["used"].values():
        assert used == {"capability": "DEFAULT", "threads": 1, "numpy": []}


def test_training_and_sampling_compute_the_recorded_bits(now: dict[str, Any]) -> None:
    expected = recorded()["cases"]
    other = [name for name, found in now["cases"].items() if found != expected[name]]
    assert other == [], {name: (now["cases"][name]["losses"], expected[name]["losses"]) for name in other}


def test_every_recorded_case_is_checked() -> None:
    assert sorted(recorded()["cases"]) == sorted(NAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what the cases compute now, or record it.")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = json.dumps(computed(Path(folder)), indent=1, sort_keys=True) + "\n"
    if arguments.record:
        RECORDED.write_text(found, encoding="utf-8")
    else:
        sys.stdout.write(found)


if __name__ == "__main__":
    main()
