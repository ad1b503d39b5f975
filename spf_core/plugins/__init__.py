"""Plugins: their config classes and hooks, and how spf finds, checks and contains them. Torch-free.

An author of a plugin imports config classes, `hookimpl` and the types of options from here.
"""

from spf_core.plugins.configs import (
    AdapterConfig,
    BackboneConfig,
    Betas,
    Component,
    ControlMapConfig,
    DataReaderConfig,
    ExporterConfig,
    LossConfig,
    MetricConfig,
    OptimizerConfig,
    PresetConfig,
    PromptEditorConfig,
    ReferenceConfig,
    ResponseConfig,
    RewardConfig,
    ScoreConfig,
    SuiteConfig,
    TrackerConfig,
)
from spf_core.plugins.hookspecs import Register, hookimpl
from spf_core.plugins.outside_weights import OutsideWeights, WeightedScoreConfig
from spf_core.utils.paths import HubPath, UserPath

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "Betas",
    "Component",
    "ControlMapConfig",
    "DataReaderConfig",
    "ExporterConfig",
    "HubPath",
    "LossConfig",
    "MetricConfig",
    "OptimizerConfig",
    "OutsideWeights",
    "PresetConfig",
    "PromptEditorConfig",
    "ReferenceConfig",
    "Register",
    "ResponseConfig",
    "RewardConfig",
    "ScoreConfig",
    "SuiteConfig",
    "TrackerConfig",
    "UserPath",
    "WeightedScoreConfig",
    "hookimpl",
]
