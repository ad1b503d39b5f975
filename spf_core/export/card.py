"""The model card: what an export is, how it is used, what was measured, and what its base demands."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from spf_core.errors import RunError
from spf_core.export.facts import Facts
from spf_core.export.handover.section import PORTRAIT, base_of, handover_section
from spf_core.export.lora import Lora
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import step_of
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.yaml_text import dump_yaml

CARD, PICTURE = "README.md", "samples.png"
SEE_BASE = "see the base model"

# from_pretrained has torch_dtype up to diffusers 0.39, and dtype later; to() is the same in all.
_USE_LORA = """\
```python
import torch
from diffusers import {pipeline}

pipe = {pipeline}.from_pretrained("{base}").to("cuda", torch.float16)
pipe.load_lora_weights("THIS FOLDER OR REPOSITORY", weight_name="pytorch_lora_weights.safetensors")
pipe.set_adapters(pipe.get_active_adapters(), [{strength:g}])
image = pipe("{prompt}").images[0]
```
"""
_USE_WHOLE = """\
```python
import torch
from diffusers import {pipeline}

pipe = {pipeline}.from_pretrained("THIS FOLDER OR REPOSITORY").to("cuda", torch.float16)
image = pipe("{prompt}").images[0]
```
"""


def measured_section(evaluation: Path | None, run: Path, plugins: Plugins) -> str:
    """What the plugin that wrote the folder `evaluation` says of it; RunError when no plugin knows it."""
    if evaluation is None:
        return ""
    sections = plugins.call("spf_measured", evaluation=evaluation, run=run)
    if not sections:
        raise RunError(f"--evaluation '{evaluation}' has no results.json; spf evaluate writes it")
    return "\n".join(sections)


def write_card(
    folder: Path, run: Path, facts: Facts, evaluation: Path | None, measured: str, *, lora: Lora | None
) -> None:
    """Write README.md into an export, and the sample grid beside it where there is one.

    `measured` is the section about the folder `evaluation`, whose grid comes first.
    """
    grid = _grid(run, evaluation)
    if grid is not None:
        shutil.copyfile(grid, folder / PICTURE)
    sections = [
        _front_matter(facts, lora),
        _opening(facts, lora),
        _use(facts, lora),
        handover_section(facts, lora=lora is not None),
        measured,
        "" if grid is None else _samples(grid),
        _settings(facts, lora),
        _licence(facts),
    ]
    atomic_write_text(folder / CARD, "\n".join(section for section in sections if section))


def _front_matter(facts: Facts, lora: Lora | None) -> str:
    """What the hub reads; a base that was a local folder is not named."""
    on_hub = "/" in facts.base
    head: dict[str, Any] = {
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "spf", *(["lora", "template:sd-lora"] if lora else [])],
        **({"base_model": facts.base} if on_hub else {}),
        **({"base_model_relation": "adapter" if lora else "finetune"} if on_hub else {}),
        **({"instance_prompt": facts.targets[0]} if facts.targets else {}),
        **({"license": facts.licence} if facts.licence else {}),
    }
    return f"---\n{dump_yaml(head)}---\n"


def _opening(facts: Facts, lora: Lora | None) -> str:
    what = "A LoRA" if lora else "Fine-tuned weights"
    version = facts.metadata.get("spf_version", "(unknown)")
    target = f"**{facts.targets[0]}**" if facts.targets else "one attribute"
    return (
        f"# {facts.title}\n\n{what} for `{facts.base}` that adds {target} to a portrait and is trained to "
        f"change nothing else, by spf {version}, preset `{facts.config.preset}`.\n"
    )


def _use(facts: Facts, lora: Lora | None) -> str:
    words = [f"- `{text}`" for text in facts.targets]
    trained = ["Texts it was trained on, added to the prompt:\n", *words, ""] if words else []
    recommended = [] if facts.strength is None else [f"Recommended strength: {facts.strength:g}.\n"]
    code = (_USE_LORA if lora else _USE_WHOLE).format(
        pipeline=facts.pipeline,
        base=base_of(facts),
        prompt=", ".join([PORTRAIT, *facts.targets[:1]]),
        strength=1.0 if facts.strength is None else facts.strength,
    )
    return "\n".join(["## Use\n", *trained, *recommended, code])


def _samples(grid: Path) -> str:
    with Image.open(grid) as picture:
        texts = str(picture.info.get("texts", "")).splitlines()
    return "\n".join(["## Samples\n", f"![original and tuned, same seeds]({PICTURE})\n", *_listed(texts)])


def _listed(texts: Iterable[str]) -> list[str]:
    lines = [f"- {text}" for text in texts]
    return [*lines, ""] if lines else []


def _settings(facts: Facts, lora: Lora | None) -> str:
    size = [] if lora is None else [f"Rank {lora.rank}, alpha {lora.alpha:g}, {len(lora.updates)} layers.\n"]
    settings = dump_yaml(facts.config.public_settings())
    return "\n".join(
        [
            "## Settings\n",
            *size,
            "<details><summary>All of them</summary>\n",
            f"```yaml\n{settings}```\n",
            "</details>\n",
        ]
    )


def _licence(facts: Facts) -> str:
    return (
        f"## Licence\n\nOf the base model `{facts.base}`, whose terms hold for what is made from it: "
        f"{facts.licence or SEE_BASE}.\n"
    )


def _grid(run: Path, evaluation: Path | None) -> Path | None:
    """The evaluation's pictures, or the last that training drew."""
    found = [] if evaluation is None else [evaluation / "grid.png"]
    found += sorted((run / "samples").glob("step-*-grid.png"), key=step_of, reverse=True)
    return next((file for file in found if file.is_file()), None)
