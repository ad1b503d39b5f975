"""Opens a finished run: a run folder with its configuration and weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import SampleSection
from spf_core.errors import RunError, quoted, short
from spf_core.interfaces import Adapter, Backbone, PromptEditor
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import BackboneConfig
from spf_core.plugins.discovery import Plugins
from spf_core.plugins.trust import resume_command
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.runs.saved_config import CONFIG_FILE as CONFIG_FILE
from spf_core.runs.saved_config import saved_config as saved_config
from spf_core.utils.devices import pick_device
from spf_core.utils.paths import refuse_lost_options

HANDOVER = "spf_handover"  # in the metadata of weights: the handover that calibration chose


@dataclass(frozen=True)
class OpenRun:
    """A trained run: the backbone with the adapter attached and loaded, at strength 1.

    In `config`, `sample.handover` is the one that calibration found, where there was one.

    `editor` changes what the tuned model reads at sampling, where the run has one.
    """

    path: Path
    config: RunConfig
    backbone: Backbone
    adapter: Adapter
    adapter_hash: str
    editor: PromptEditor | None = None


def open_backbone(config: BackboneConfig, device: str = "auto") -> Backbone:
    """Load a backbone and move it to the device."""
    refuse_lost_options(config, "backbone")
    backbone: Backbone = built(config)
    backbone.to(pick_device(device))
    return backbone


def unrounded(config: BackboneConfig) -> BackboneConfig:
    """The same backbone with its frozen weights in float32 and not quantised, where it has a choice."""
    chosen = {"dtype": "float32", "quantize": "none"}
    options = type(config).model_fields
    return config.model_copy(update={name: value for name, value in chosen.items() if name in options})


def trained_weights(run: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a finished run; RunError when it did not finish or they are damaged."""
    if not (run / ADAPTER_FILE).is_file():
        raise RunError(
            f"'{run}' has no {ADAPTER_FILE}: the run did not finish. Finish it with {resume_command(run)}"
        )
    return read_safetensors(run / ADAPTER_FILE)


def open_run(run: Path, plugins: Plugins, *, device: str = "auto", exact: bool = False) -> OpenRun:
    """Load a finished run; if `exact`, its base model is `unrounded`, for what is computed with the weights.

    RunError when its own weights are missing, damaged or of another backbone.
    """
    config, file = saved_config(run, plugins), run / ADAPTER_FILE
    tensors, metadata = trained_weights(run)
    backbone = open_backbone(unrounded(config.backbone) if exact else config.backbone, device)
    refuse_other_backbone(file, metadata, backbone)
    adapter: Adapter = built(config.adapter)
    attach(config.adapter, adapter, backbone)
    adapter.load_state_dict(tensors)
    editor = built(config.editor) if config.editor else None
    return OpenRun(run, _calibrated(config, file, metadata), backbone, adapter, file_hash(file), editor)


def _calibrated(config: RunConfig, file: Path, metadata: dict[str, str]) -> RunConfig:
    """The configuration with the handover that the weights name, where they name one."""
    if HANDOVER not in metadata:
        return config
    given = {**config.sample.model_dump(), "handover": metadata[HANDOVER]}
    try:
        sample = SampleSection.model_validate(given)
    except ValidationError:
        raise RunError(
            f"'{file}' names {HANDOVER}={quoted(metadata[HANDOVER])}, which is no fraction of the schedule; "
            "train the run again"
        ) from None
    return config.model_copy(update={"sample": sample})


def refuse_other_backbone(file: Path, metadata: dict[str, str], backbone: Backbone) -> None:
    """RunError when the weights were trained on other base weights than the ones that are loaded."""
    trained_on, loaded = metadata.get("spf_backbone"), backbone.fingerprint()
    if trained_on != loaded:
        other = short(str(trained_on))
        raise RunError(
            f"'{file}' was trained on the backbone with hash {other}, the loaded one has {loaded}; "
            "set backbone.path to the weights it was trained on"
        )


def file_hash(file: Path) -> str:
    """First 16 hex digits of the file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
