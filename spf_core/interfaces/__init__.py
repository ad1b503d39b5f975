"""What each kind of component must do. Protocols: a plugin inherits from nothing."""

from spf_core.interfaces.judging import (
    Metric,
    Quadruples,
    Region,
    Score,
    Suite,
    TrainingFacts,
    UnseenPrompt,
)
from spf_core.interfaces.training import (
    Adapter,
    Backbone,
    Budgeted,
    ControlMap,
    Drifting,
    Predictions,
    PromptEditor,
    Reference,
    Reward,
    Stateful,
    StepState,
    Term,
    TextName,
)

__all__ = [
    "Adapter",
    "Backbone",
    "Budgeted",
    "ControlMap",
    "Drifting",
    "Metric",
    "Predictions",
    "PromptEditor",
    "Quadruples",
    "Reference",
    "Region",
    "Reward",
    "Score",
    "Stateful",
    "StepState",
    "Suite",
    "Term",
    "TextName",
    "TrainingFacts",
    "UnseenPrompt",
]
