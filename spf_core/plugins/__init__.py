"""Plugins: their config classes and hooks, and how spf finds, checks and contains them. Torch-free.

An author of a plugin imports config classes and `hookimpl` from here.
"""

from spf_core.plugins.configs import (
    AdapterConfig,
    BackboneConfig,
    Component,
    ControlMapConfig,
    LossConfig,
    MetricConfig,
    PresetConfig,
    PromptEditorConfig,
    ReferenceConfig,
    ResponseConfig,
    RewardConfig,
    ScoreConfig,
    SuiteConfig,
)
from spf_core.plugins.hookspecs import Register, hookimpl

__all__ = [
    "AdapterConfig",
    "BackboneConfig",
    "Component",
    "ControlMapConfig",
    "LossConfig",
    "MetricConfig",
    "PresetConfig",
    "PromptEditorConfig",
    "ReferenceConfig",
    "Register",
    "ResponseConfig",
    "RewardConfig",
    "ScoreConfig",
    "SuiteConfig",
    "hookimpl",
]
