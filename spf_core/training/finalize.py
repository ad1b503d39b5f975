"""How a run ends: its weights are chosen, its handover is calibrated, both are written."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts
from spf_core.errors import RunError, quoted
from spf_core.export.facts import STRENGTH, STRENGTH_BY
from spf_core.export.files import write_weights
from spf_core.interfaces import Adapter
from spf_core.interfaces.prompts import Prompt
from spf_core.plugins.building import built
from spf_core.runs.run import HANDOVER, trained_weights
from spf_core.sampling.handover import calibrate_handover
from spf_core.utils.progress import Progress

if TYPE_CHECKING:
    from spf_lab.evaluation.during import PurityWatch

_log = logging.getLogger("spf")


def finish(
    config: RunConfig,
    run: Path,
    parts: Parts,
    prompts: Sequence[Prompt],
    metadata: dict[str, str],
    *,
    watch: "PurityWatch | None",
    autocast: AbstractContextManager[None],
    progress: Progress,
) -> None:
    """Write the weights that the adapter has, or the purest that `watch` kept; what was tried lies beside."""
    if watch:
        metadata = watch.choose(parts.adapter, metadata)
    if config.calibration.enabled:
        editor = built(config.editor) if config.editor else None
        with autocast:
            found = calibrate_handover(
                parts.backbone,
                parts.adapter,
                editor,
                prompts,
                config.calibration,
                config.sample,
                progress=progress,
            )
        found.write(run)
        metadata[HANDOVER] = str(found.handover)
    metadata |= _recommended(run, parts.adapter)
    write_weights(run, parts.adapter, parts.backbone, config, metadata)


def _recommended(run: Path, adapter: Adapter) -> dict[str, str]:
    """The strength that `spf calibrate` stored, when a run is resumed and ends with the same weights."""
    try:
        tensors, metadata = trained_weights(run)
    except RunError:
        return {}
    stored = {key: metadata[key] for key in (STRENGTH, STRENGTH_BY) if key in metadata}
    weights = adapter.state_dict()
    same = tensors.keys() == weights.keys() and all(
        torch.equal(tensors[name], weights[name].detach().cpu()) for name in tensors
    )
    if stored and not same:
        _log.warning(
            "the run ends with other weights than those that the recommended strength %s was measured with: "
            "the weights name no strength now; measure again with spf calibrate %s",
            *(quoted(stored.get(STRENGTH)), run),
        )
    return stored if same else {}
