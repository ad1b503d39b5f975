"""For how many texts of each image the base model draws before training: as many as an hour allows."""

from collections.abc import Sequence
from datetime import timedelta

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.interfaces import Backbone
from spf_core.preparation.sharing import most_texts
from spf_core.sampling.sampler import rows_at_once
from spf_core.training.resources.memory_estimate import empty_batch
from spf_core.training.resources.stage_plan import run_stages
from spf_core.training.resources.time_estimate import row_seconds
from spf_core.utils.prompts import Prompt

LIMIT = 3600.0  # seconds
TIMED = 4  # rows of the pass that is timed


def texts_to_draw(config: RunConfig, backbone: Backbone, rows: Sequence[Row]) -> tuple[int | None, str]:
    """`train.drawn_texts` for these rows of all views, and what there is to say of it in a line.

    Where it is given, or there is nothing to choose, it stays, and nothing is said. A pass of the denoiser is
    timed on this machine, of a backbone without adapter.
    """
    most = most_texts([(row.image, row.view) for row in rows], _prompts(rows))
    given = config.train.drawn_texts
    if given is not None or most == 1 or not config.draws_images:
        return given, ""
    width, height = size = largest(rows, backbone.image_size)
    together = min(rows_at_once(*backbone.latent_shape(height, width)[1:]), TIMED)
    train = config.train.model_copy(update={"batch_size": together})
    batch = empty_batch(config.model_copy(update={"train": train}), backbone, _prompts(rows), size)
    each = row_seconds(config, backbone, batch, passes=1)  # an hour need not be exact
    seconds = {texts: each * drawing_passes(with_texts(config, texts), rows) for texts in range(1, most + 1)}
    chosen = max((texts for texts in seconds if seconds[texts] <= LIMIT), default=1)
    told = f"the base model draws for {chosen} of {most} texts of each image, about {_clock(seconds[chosen])}"
    if chosen < most:
        told += f": all would take {_clock(seconds[most])}, and the limit is an hour"
    return chosen, f"{told}; train.drawn_texts sets another number"


def with_texts(config: RunConfig, texts: int | None) -> RunConfig:
    """The configuration with this `train.drawn_texts`."""
    return config.model_copy(update={"train": config.train.model_copy(update={"drawn_texts": texts})})


def drawing_passes(config: RunConfig, rows: Sequence[Row]) -> float:
    """Forward passes of the denoiser that finished units keep, before the first step."""
    return sum(stage.units * stage.passes for stage in run_stages(config, rows) if stage.kept)


def largest(rows: Sequence[Row], side: int) -> tuple[int, int]:
    """Width and height of the largest view; `side` is the model's."""
    return max((row.view.size or (side, side) for row in rows), key=lambda size: size[0] * size[1])


def _prompts(rows: Sequence[Row]) -> list[Prompt]:
    return [row.prompt for row in rows]


def _clock(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))}"
