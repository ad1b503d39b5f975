"""Sample grids during training."""

from pathlib import Path

from PIL import Image
from test_trainer import config_of, noise_folder

from spf_core.plugins.discovery import load_plugins
from spf_core.training.loop import train


def test_own_prompts_are_drawn_beside_the_training_texts(tiny_folder: Path, tmp_path: Path) -> None:
    plugins, folder = load_plugins(), tmp_path / "data"
    folder.mkdir()
    noise_folder(folder)
    own = "[{base_text: an old man, target_text: wearing a hat}, {base_text: a young woman}]"
    settings = ("sample.every=2", "sample.steps=2", "sample.prompts=1", f"sample.validation_prompts={own}")
    run = tmp_path / "run"
    train(config_of(plugins, tiny_folder, folder, *settings, preset="lora", steps=4), run, plugins)
    names = {f"step-00000{step}-{name}.png" for step in (2, 4) for name in ("grid", "maps", "prompts")}
    assert {path.name for path in (run / "samples").iterdir()} == names
    with Image.open(run / "samples" / "step-000004-prompts.png") as drawn:
        assert drawn.text == {
            "step": "4",
            "texts": "an old man, wearing a hat\na young woman",
            "seeds": "0, 1",
        }
