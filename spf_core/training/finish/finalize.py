"""How a run ends: its weights are chosen, its handover is calibrated or distilled, and they are written."""

import logging
from pathlib import Path

import torch

from spf_core.errors import RunError, quoted
from spf_core.export.facts import STRENGTH, STRENGTH_BY
from spf_core.export.files import write_weights
from spf_core.interfaces import Adapter
from spf_core.plugins.building import built
from spf_core.runs.run import HANDOVER, trained_weights
from spf_core.sampling.handover import calibrate_handover
from spf_core.training.finish.distillation import distil_handover
from spf_core.training.trainer import Trainer

_log = logging.getLogger("spf")


def finish(trainer: Trainer) -> None:
    """Write the weights that the adapter has, or those that a plugin's hook gives it.

    Beside the main process, shards are gathered and nothing is written.
    """
    if not trainer.group.main:
        if trainer.group.sharded:
            trainer.adapter.state_dict()
        return
    config, run, metadata = trainer.config, trainer.run, trainer.metadata()
    trainer.plugins.call("spf_after_fit", fit=trainer.as_fit, metadata=metadata)
    metadata = {str(name): str(value) for name, value in metadata.items()}  # the file holds texts alone
    if config.calibration.enabled:
        editor = built(config.editor) if config.editor else None
        with trainer.accelerator.autocast():
            found = calibrate_handover(
                trainer.backbone,
                trainer.adapter,
                editor,
                trainer.prompts,
                config.calibration,
                config.sample,
                progress=trainer.progress,
            )
        found.write(run)
        metadata[HANDOVER] = str(found.handover)
    if config.distillation.enabled:
        handover = float(metadata.get(HANDOVER, config.sample.handover))
        distilled = distil_handover(
            trainer.backbone,
            trainer.adapter,
            trainer.prompts,
            config.distillation,
            config.optimizer,
            config.sample.model_copy(update={"handover": handover}),
            trainer.accelerator,
            seed=config.train.seed,
            progress=trainer.progress,
        )
        distilled.write(run)
        metadata[HANDOVER] = "1.0"  # sampled plainly from now on
    metadata |= _recommended(run, trainer.adapter)
    write_weights(run, trainer.adapter, trainer.backbone, config, metadata)
    trainer.plugins.call("spf_after_run", fit=trainer.as_fit)


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
            "the weights name no strength now; calibrate again with spf calibrate %s",
            *(quoted(stored.get(STRENGTH)), run),
        )
    return stored if same else {}
