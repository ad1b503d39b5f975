"""`make test-real-size`: names and shapes of the real models, and two full steps of the method within 24 GiB.

Not part of `make test`: it writes up to 9 GB and computes for minutes. Weights are random.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models import LAYOUTS, skeletons, write_model
from PIL import Image

from spf_core.export.checkpoint import attention_above
from spf_core.export.names import ldm_unet
from spf_core.training.run_log import read_metrics

PARAMETERS = {
    "sd15": {"unet": (859_520_964, 686), "vae": (83_653_863, 248), "text_encoder": (123_060_480, 196)},
    "sdxl": {
        "unet": (2_567_463_684, 1680),
        "vae": (83_653_863, 248),
        "text_encoder": (123_060_480, 196),
        "text_encoder_2": (694_659_840, 517),
    },
}
KNOWN = {  # names and shapes in the published checkpoints, below model.diffusion_model.
    "sd15": {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "middle_block.1.proj_in.weight": (1280, 1280, 1, 1),
        "output_blocks.5.2.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.11.1.transformer_blocks.0.attn2.to_v.weight": (320, 768),
        "time_embed.2.weight": (1280, 1280),
        "out.2.weight": (4, 320, 3, 3),
    },
    "sdxl": {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight": (640, 2048),
        "input_blocks.7.1.transformer_blocks.9.attn2.to_v.weight": (1280, 2048),
        "middle_block.1.transformer_blocks.9.ff.net.0.proj.weight": (10240, 1280),
        "output_blocks.2.2.conv.weight": (1280, 1280, 3, 3),
        "output_blocks.3.1.proj_in.weight": (640, 640),
        "label_emb.0.0.weight": (1280, 2816),
        "out.2.weight": (4, 320, 3, 3),
    },
}
LIMIT_MIB = 24 * 1024


@pytest.mark.parametrize("kind", LAYOUTS)
def test_names_and_shapes_are_those_of_the_published_models(kind: str) -> None:
    networks = skeletons(LAYOUTS[kind])
    for name, expected in PARAMETERS[kind].items():
        network = networks[name]
        assert (sum(p.numel() for p in network.parameters()), len(network.state_dict())) == expected, name
    unet = networks["unet"]
    layers, above = unet.config.layers_per_block, attention_above(unet)
    shapes = {ldm_unet(name, layers, above): tuple(t.shape) for name, t in unet.state_dict().items()}
    assert len(shapes) == PARAMETERS[kind]["unet"][1]
    assert {name: shapes.get(name) for name in KNOWN[kind]} == KNOWN[kind]


@pytest.mark.parametrize(("kind", "side"), [("sd15", 512), ("sdxl", 1024)])
def test_two_full_steps_fit(kind: str, side: int, tmp_path: Path) -> None:
    model, data, run = tmp_path / "model", tmp_path / "data", tmp_path / "run"
    write_model(LAYOUTS[kind], model)
    write_photo(data, side)
    options = {
        "backbone.path": model,
        "backbone.dtype": "bfloat16",
        "train.accumulation": 1,  # otherwise as the backbone wants it
        "response.max_timestep": 1,
        "sample.every": 0,
    }
    assigned = [f"--set={key}={value}" for key, value in options.items()]
    program = [sys.executable, "-m", "spf_cli", "train", "--data", data, "--out", run, "--backbone", kind]
    program += ["--preset", "spf-joint", "--steps", "2", *assigned]
    try:
        done = subprocess.run(
            program, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
    finally:
        shutil.rmtree(model)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = read_metrics(run)
    assert len(lines) == 2
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert {"denoising", "text-consistency", "fine-grained", "clip-direction"} <= set(lines[-1]["terms"])
    peak = max(line["peak_memory_mib"] for line in lines)
    print(f"\n{kind} at {side} px: peak {peak:,.0f} MiB, {lines[-1]['seconds']:.0f} s a step")
    assert peak < LIMIT_MIB


def write_photo(folder: Path, side: int) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    row = {
        "file_name": "0.png",
        "base_text": "a portrait of an old man, red hair",
        "target_text": "wearing a hat",
    }
    (folder / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
