"""Plugins: their config classes and hooks, and how spf finds, checks and contains them. Torch-free.

An author of a plugin imports config classes, `hookimpl`, the types of options and the blocks of a report
section from here.
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
from spf_core.plugins.report_section import Facts, Paragraph, Picture, Plots, ReportSection, Table, Tiles
from spf_core.utils.paths import HubPath, UserPath

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "Betas",
    "Component",
    "ControlMapConfig",
    "DataReaderConfig",
    "ExporterConfig",
    "Facts",
    "HubPath",
    "LossConfig",
    "MetricConfig",
    "OptimizerConfig",
    "OutsideWeights",
    "Paragraph",
    "Picture",
    "Plots",
    "PresetConfig",
    "PromptEditorConfig",
    "ReferenceConfig",
    "Register",
    "ReportSection",
    "ResponseConfig",
    "RewardConfig",
    "ScoreConfig",
    "SuiteConfig",
    "Table",
    "Tiles",
    "TrackerConfig",
    "UserPath",
    "WeightedScoreConfig",
    "hookimpl",
]
