"""The hooks of spf. Each registration hook returns config classes and is called once, when plugins load."""

import pluggy

from spf_core.plugins.configs import (
    AdapterConfig,
    BackboneConfig,
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

hookspec = pluggy.HookspecMarker("spf")
hookimpl = pluggy.HookimplMarker("spf")


@hookspec
def spf_register_backbones() -> list[type[BackboneConfig]]:
    """Return text-to-image backbones. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_adapters() -> list[type[AdapterConfig]]:
    """Return adapters, the choices of what is trainable. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_reference_paths() -> list[type[ReferenceConfig]]:
    """Return reference paths. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_control_maps() -> list[type[ControlMapConfig]]:
    """Return control-map builders. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_response_enhancers() -> list[type[ResponseConfig]]:
    """Return response enhancements. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_loss_terms() -> list[type[LossConfig]]:
    """Return loss terms. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_rewards() -> list[type[RewardConfig]]:
    """Return rewards, preferences that training may follow. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_prompt_editors() -> list[type[PromptEditorConfig]]:
    """Return prompt editors, changes of the text embeddings at sampling. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_metrics() -> list[type[MetricConfig]]:
    """Return metrics over quadruples. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_scores() -> list[type[ScoreConfig]]:
    """Return scores, shown beside the purity score. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_suites() -> list[type[SuiteConfig]]:
    """Return suites: worlds with data, prompts and judges. Called once, when plugins load."""
    raise NotImplementedError


@hookspec
def spf_register_presets() -> list[type[PresetConfig]]:
    """Return presets: named choices of components. Called once, when plugins load."""
    raise NotImplementedError


REGISTRATION_HOOKS: dict[str, str] = {
    "backbone": "spf_register_backbones",
    "adapter": "spf_register_adapters",
    "reference": "spf_register_reference_paths",
    "control-map": "spf_register_control_maps",
    "response": "spf_register_response_enhancers",
    "loss": "spf_register_loss_terms",
    "reward": "spf_register_rewards",
    "prompt-editor": "spf_register_prompt_editors",
    "metric": "spf_register_metrics",
    "score": "spf_register_scores",
    "suite": "spf_register_suites",
    "preset": "spf_register_presets",
}
