"""What every backbone must do: the same checks for a UNet, a transformer, or a model of an author's own.

Each check raises AssertionError. `check_run` trains, so a tiny random model is what these are for.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.export.run import Request, export
from spf_core.interfaces import Backbone, Capture, NoiseProcess
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints, read_safetensors
from spf_core.runs.run import OpenRun, open_backbone, open_run
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.training.loop import train
from spf_core.utils.pixels import to_pixels
from spf_core.utils.prompts import Prompt

PROMPT = Prompt("a portrait of an old man, red hair", "wearing a hat")


def check_noise_process(process: NoiseProcess) -> None:
    """Its formulas fit each other: what is expected leads back to the image, also by sampling."""
    generator = torch.Generator().manual_seed(0)
    clean, noise, source, other = torch.randn(4, 3, 4, 8, 8, generator=generator)
    t_B = torch.stack([process.at(level, 1)[0] for level in (0.1, 0.5, 0.8)])
    z_t, near = process.noised(clean, noise, t_B), process.noised(source, noise, t_B)
    pred = process.expected(clean, noise, t_B)
    for start, expected in ((z_t, pred), (near, process.expected(clean, noise, t_B, source))):
        torch.testing.assert_close(process.clean(start, expected, t_B), clean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(process.noise_of(z_t, pred, t_B), noise, atol=1e-3, rtol=1e-3)
    readings = {"noise": process.noise_of, "velocity": process.velocity_of, "image": process.clean}
    for space, read in readings.items():
        found = (read(z_t, pred, t_B) - read(z_t, pred + other, t_B)).pow(2)
        weighed = process.weight(space, t_B).view(-1, 1, 1, 1) * other.pow(2)  # type: ignore[arg-type]
        torch.testing.assert_close(found, weighed, atol=1e-2, rtol=1e-2)
    drawn = process.level_of(process.draw_timesteps(256, 0.2, 0.6, generator=generator))
    assert bool(((drawn >= 0.2 - 1e-3) & (drawn <= 0.6 + 1e-3)).all()), "timesteps lie between the levels"
    sampler = process.sampler(4)
    assert bool((sampler.timesteps_S < process.timestep_at(1.0)).all()), "level 1 lies above every timestep"
    first = sampler.timesteps_S[:1].expand(len(clean)).to(clean.device)
    z, expected = process.noised(clean, noise, first), process.expected(clean, noise, first)
    for place in range(len(sampler.timesteps_S)):
        z = sampler.step(expected, place, z)
    # DDIM ends at the schedule's first alpha, which leaves a thirtieth of the noise: up to 4 sigma here.
    torch.testing.assert_close(z, clean, atol=0.15, rtol=0)


@torch.no_grad()
def check_attention_sites(backbone: Backbone) -> None:
    """Recording leaves the prediction as it is, and image positions alone have queries."""
    cond = backbone.encode_prompts([PROMPT], with_target=True)
    shape = backbone.latent_shape(backbone.image_size, backbone.image_size)
    z_t = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    t_B = backbone.noise.at(0.5, 1)
    plain = backbone.predict(z_t, t_B, cond)
    output = backbone.predict(z_t, t_B, cond, Capture(attention=True, queries=True))
    torch.testing.assert_close(output.pred_BCHW, plain.pred_BCHW, atol=1e-5, rtol=1e-4)
    sites = backbone.attention_sites()
    assert sites, "the alignment of the method needs layers that read the text"
    tokens = cond.embeds_BLD.shape[1]
    for site in sites:
        rows, columns = site.grid(*shape[1:])
        attention_BQL = output.attention[site.name]
        assert attention_BQL.shape == (1, rows * columns, tokens), site.name
        assert float(attention_BQL.sum(-1).max()) <= 1 + 1e-4, site.name
        assert output.queries[site.name].shape[:2] == (1, rows * columns), site.name
        assert output.hidden[site.name].shape[:2] == (1, rows * columns), site.name
    assert float(cond.phrase_BPL.sum()) > 0, "phrases have tokens"
    assert cond.phrase_BPL.shape[2] == tokens


def check_run(config: RunConfig, folder: Path, plugins: Plugins) -> OpenRun:
    """Train, and train again from the middle to the same bits; sample with a handover. The opened run."""
    run, again = folder / "run", folder / "again"
    train(config, run, plugins)
    shutil.copytree(run, again)
    saved = checkpoints(again)
    assert len(saved) > 1, "the configuration saves a checkpoint before the last step"
    shutil.rmtree(saved[-1])
    (again / ADAPTER_FILE).unlink()
    train(config, again, plugins, resume=True)
    whole, resumed = (read_safetensors(each / ADAPTER_FILE)[0] for each in (run, again))
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), f"{name} differs after resuming"
    opened = open_run(run, plugins, device="cpu")
    early = config.sample.model_copy(update={"handover": 0.6})
    before = BeforeHandover([PROMPT.base_text], opened.adapter)
    (picture,) = sample_images(opened.backbone, [PROMPT.complete_text], [0], early, before_handover=before)
    assert picture.size == (opened.backbone.image_size,) * 2
    return opened


def check_strength_zero(opened: OpenRun) -> None:
    """At strength 0 a run draws exactly what its base model draws."""
    fresh = open_backbone(opened.config.backbone, "cpu")
    opened.adapter.scale(0.0)
    pictures = [
        sample_images(backbone, [PROMPT.complete_text], [1], opened.config.sample)[0]
        for backbone in (fresh, opened.backbone)
    ]
    opened.adapter.scale(1.0)
    one, other = (to_pixels([np.asarray(picture)]) for picture in pictures)
    assert torch.equal(one, other), "strength 0 is not the base model"


@torch.no_grad()
def check_diffusers_export(opened: OpenRun, folder: Path, plugins: Plugins) -> None:
    """A run's LoRA in diffusers' format predicts in the pipeline what it predicts in the run."""
    out = folder / "diffusers"
    export(opened.path, plugins, Request("diffusers", out))
    fresh = open_backbone(opened.config.backbone, "cpu")
    before = predicted(fresh)
    fresh.pipeline().load_lora_weights(out, weight_name="pytorch_lora_weights.safetensors")
    after, tuned = predicted(fresh), predicted(opened.backbone)
    assert not torch.equal(before, after), "the file changes nothing"
    torch.testing.assert_close(after, tuned, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def predicted(backbone: Backbone) -> Tensor:
    """The prediction for one noise, timestep and text, without gradient."""
    cond = backbone.encode_prompts([PROMPT], with_target=True)
    shape = backbone.latent_shape(backbone.image_size, backbone.image_size)
    z_t = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
    return backbone.predict(z_t, backbone.noise.at(0.5, 1), cond).pred_BCHW
