"""Where training begins when it continues from another run: that run's weights, checked to fit."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.interfaces import Adapter, Backbone
from spf_core.plugins.configs import AdapterConfig
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.runs.run import CONFIG_FILE, file_hash, refuse_other_backbone
from spf_core.utils.paths import refuse_lost
from spf_core.utils.yaml_text import read_yaml

WARM_START_HASH = "spf_started_from"  # in the metadata of weights: the hash of those that training began with


@dataclass(frozen=True)
class WarmStart:
    """The weights of a finished run, with the file they were read from and its hash."""

    file: Path
    tensors: Mapping[str, Tensor]
    metadata: dict[str, str]
    hash: str

    def refuse_other_backbone(self, backbone: Backbone) -> None:
        """RunError when the weights were trained on other base weights than `backbone` has."""
        refuse_other_backbone(self.file, self.metadata, backbone)

    def load_into(self, adapter: Adapter) -> None:
        """Let the attached adapter begin with the weights; RunError names a tensor that does not fit."""
        try:
            adapter.load_state_dict(self.tensors)
        except RunError as error:
            raise RunError(
                f"train.start_from: '{self.file.parent}' does not fit: {error}. "
                "Name a run of the same base model and adapter"
            ) from None


def read_warm_start(config: RunConfig) -> WarmStart | None:
    """The weights that `train.start_from` names; None when training begins with the original model.

    RunError when that is no finished run, or its adapter is of another kind or has other options.
    """
    if config.train.start_from is None:
        return None
    refuse_lost(config.train.start_from, "train.start_from")
    run = Path(config.train.start_from)
    for name, lack in ((CONFIG_FILE, "is not a run folder"), (ADAPTER_FILE, "did not finish")):
        if not (run / name).is_file():
            raise RunError(
                f"train.start_from: '{run}' {lack}: it has no {name}; name a finished run of spf train"
            )
    _refuse_other_adapter(run, config)
    file = run / ADAPTER_FILE
    tensors, metadata = read_safetensors(file)
    return WarmStart(file, tensors, metadata, file_hash(file))


def _refuse_other_adapter(run: Path, config: RunConfig) -> None:
    before = _options(read_yaml(run / CONFIG_FILE).get("adapter"), config.adapter)
    now: dict[str, Any] = config.adapter.model_dump(mode="json")
    for key in sorted({*before, *now}, key=lambda key: (key != "name", key)):
        if before.get(key) != now.get(key):
            raise RunError(
                f"train.start_from: '{run}' has adapter.{key}={before.get(key)!r}, "
                f"which is {now.get(key)!r} here; give both runs the same adapter"
            )


def _options(saved: Any, now: AdapterConfig) -> dict[str, Any]:
    """What a run's file says of its adapter; options that are younger than the run have their defaults."""
    options = dict(saved) if isinstance(saved, Mapping) else {"name": saved}
    if options.get("name") != now.name:
        return options
    own = {key: value for key, value in options.items() if key != "name"}
    with suppress(ValidationError):
        return type(now).model_validate(own).model_dump(mode="json")
    return options
