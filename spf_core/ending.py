"""How a run ends: its weights are chosen, its handover is calibrated, both are written."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.building import built
from spf_core.calibration import calibrate_handover
from spf_core.config import RunConfig
from spf_core.export.files import write_weights
from spf_core.parts import Parts
from spf_core.progress import Progress
from spf_core.prompts import Prompt
from spf_core.runs import HANDOVER

if TYPE_CHECKING:
    from spf_core.evaluation.during import PurityWatch


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
    write_weights(run, parts.adapter, parts.backbone, config, metadata)
