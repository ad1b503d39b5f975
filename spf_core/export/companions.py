"""Files beside a LoRA file: what A1111 and Forge show of it, and the handover as a workflow of ComfyUI.

Names in NAME.json are those that A1111 and Forge read and write: `ui_edit_user_metadata.py` and
`ui_extra_networks_lora.py` below `extensions-builtin/Lora` (Forge: `sd_forge_lora`), versions `network.py`.
"""

import json
from pathlib import Path

from spf_core.export.architecture import SD15, SDXL
from spf_core.export.facts import Facts
from spf_core.export.handover.comfyui import WORKFLOW, workflow
from spf_core.export.handover.section import PORTRAIT, target_of
from spf_core.utils.atomic import atomic_write_text

_VERSIONS = {SD15: "SD1", SDXL: "SDXL"}


def companion_paths(file: Path) -> tuple[Path, Path]:
    """What may lie beside a LoRA file: NAME.json and NAME.workflow.json."""
    return file.with_suffix(".json"), file.with_suffix(f".{WORKFLOW}")


def write_companions(file: Path, facts: Facts) -> None:
    """Write NAME.json and, of a run with a handover, NAME.workflow.json."""
    card, drawn = companion_paths(file)
    _write(card, webui_card(facts))
    if has_workflow(facts):
        _write(drawn, workflow(facts, file.name, PORTRAIT, target_of(facts)))


def has_workflow(facts: Facts) -> bool:
    """Whether there is a handover, in an architecture that ComfyUI reads the file for."""
    return facts.handover < 1 and facts.kohya and facts.opened_by_clients


def write_workflow(folder: Path, facts: Facts) -> None:
    """Write workflow.json into a folder; it takes the file in kohya's keys, as ComfyUI does."""
    name = f"{facts.title}.safetensors"
    _write(folder / WORKFLOW, workflow(facts, name, PORTRAIT, target_of(facts)))


def webui_card(facts: Facts) -> dict[str, object]:
    """What A1111 and Forge add to a prompt with the LoRA, and what their editor shows."""
    others = "" if len(facts.targets) < 2 else "Keep of the texts those that you want. "
    acting = "" if facts.handover == 1 else f"Made to act {facts.handover_told}; here it acts throughout. "
    return {
        "description": f"{others}{acting}".strip(),
        "sd version": _VERSIONS.get(facts.family, "Unknown"),
        "activation text": ", ".join(facts.targets),
        "preferred weight": 1.0 if facts.strength is None else facts.strength,
        "negative text": "",
        "notes": f"spf {facts.metadata.get('spf_version', '')}, preset {facts.config.preset}",
    }


def _write(file: Path, content: object) -> None:
    atomic_write_text(file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
