"""The stages before the first step: what will be done how often, known before any work."""

from collections.abc import Sequence

from spf_core.config.views import PreparationSettings
from spf_core.data import Row
from spf_core.preparation.sharing import drawn_for
from spf_core.utils.progress import PlannedStage


def preparation_stages(
    rows: Sequence[Row], settings: PreparationSettings, recorded_states: int = 0
) -> list[PlannedStage]:
    """In the order in which they begin; `rows` are those of all views.

    `recorded_states` is how many states of each row the reference path keeps.
    """
    steps, needs = settings.drawing.steps, settings.needs
    shown = [(row.image, row.view) for row in rows]
    prompts = [row.prompt for row in rows]
    count = len(drawn_for(shown, prompts, settings.train.drawn_texts).rows)
    stages = [PlannedStage("encoding images", len(set(shown)), "images", kept=settings.dataset.cache)]
    if "class_images" in needs:
        # Classifier-free guidance passes each image twice in a step.
        stages.append(PlannedStage("class images", count, "images", 2 * steps, kept=True))
    if settings.counterfactuals.enabled:
        relevance = settings.counterfactuals.region == "relevance"
        passes = 2 * (2 if relevance else 1) * steps * settings.counterfactuals.start[1]
        stages.append(PlannedStage("counterfactuals", count, "texts", passes, kept=True))
        if relevance:
            targets = [prompt.target_text for prompt in prompts]
            pictures = len(set(zip(shown, targets, strict=True)))
            stages.append(PlannedStage("relevance", pictures, "images", kept=True))
        if "clean_image" in needs:
            stages.append(PlannedStage("embedding purified images", count, "images"))
    if settings.records_states:
        stages.append(PlannedStage("reference trajectories", count, "texts", 2 * steps, kept=True))
        if recorded_states:
            states = len(rows) * recorded_states
            stages.append(PlannedStage("reference states", states, "states", 1, kept=True))
    return stages
