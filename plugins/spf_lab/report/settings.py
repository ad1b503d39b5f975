"""Settings, hashes and versions, as the end of the page."""

from pathlib import Path
from typing import Any

from spf_core.errors import RunError
from spf_core.runs.checkpoint import read_safetensors
from spf_core.runs.run import HANDOVER, file_hash
from spf_core.utils.private import public, without_places
from spf_core.utils.yaml_text import dump_yaml, read_yaml
from spf_lab.report.arms import Json
from spf_lab.report.html import Html, tag


def settings(file: Path) -> Html:
    """A settings file, without the places that it names."""
    return tag("pre", tag("code", dump_yaml(public(read_yaml(file)))), tabindex="0")


def hashes(adapter: Path) -> list[tuple[str, str]]:
    """The weights, their training, and the handover that calibration found."""
    try:
        tensors, metadata = read_safetensors(adapter)
    except RunError as error:
        return [("adapter", without_places(str(error)))]
    found = metadata.get(HANDOVER)
    return [
        ("adapter", f"`{file_hash(adapter)}` (SHA-256, first 16 digits)"),
        ("trained on base weights", f"`{metadata.get('spf_backbone', 'unknown')}`"),
        ("trained with spf", metadata.get("spf_version", "unknown")),
        ("parameters", f"{sum(tensor.numel() for tensor in tensors.values()):,}"),
        *([("handover", _handover(found))] if found else []),
    ]


def _handover(found: str) -> str:
    return (
        "none: it is distilled into the weights"
        if found == "1.0"
        else f"{found}, the lowest that keeps the target"
    )


def environment(results: Json) -> list[tuple[str, str]]:
    """How the evaluation sampled, and with which versions."""
    made: dict[str, Any] = {"sampling": results["sampling"], "seeds": results.get("seeds")}
    made["versions"] = results.get("environment")
    found = [(name, listed(values)) for name, values in made.items() if values]
    return [("metrics of SPI and SPS", results["purity"]["label"]), *found] if "purity" in results else found


def listed(values: Json) -> str:
    """`steps 20, guidance 3`."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
