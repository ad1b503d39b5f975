"""What authors of components test theirs with: tiny models, a step's state, and the contract of each kind."""

from spf_core.testing.component import (
    ContractCheck,
    check_adapter,
    check_backbone,
    check_component,
    check_control_map,
    check_data_reader,
    check_exporter,
    check_loss,
    check_metric,
    check_optimizer,
    check_preset,
    check_prompt_editor,
    check_reference,
    check_response,
    check_reward,
    check_score,
    check_suite,
    check_tracker,
)
from spf_core.testing.conformance import (
    check_attention_sites,
    check_diffusers_export,
    check_noise_process,
    check_run,
    check_strength_zero,
)
from spf_core.testing.states import make_state, tiny_backbone, tiny_config, tiny_data
from spf_core.testing.subject import Verdict
from spf_core.testing.tiny_models import tiny_folder
from spf_core.testing.tiny_suite import TinySuite

__all__ = [
    "ContractCheck",
    "TinySuite",
    "Verdict",
    "check_adapter",
    "check_attention_sites",
    "check_backbone",
    "check_component",
    "check_control_map",
    "check_data_reader",
    "check_diffusers_export",
    "check_exporter",
    "check_loss",
    "check_metric",
    "check_noise_process",
    "check_optimizer",
    "check_preset",
    "check_prompt_editor",
    "check_reference",
    "check_response",
    "check_reward",
    "check_run",
    "check_score",
    "check_strength_zero",
    "check_suite",
    "check_tracker",
    "make_state",
    "tiny_backbone",
    "tiny_config",
    "tiny_data",
    "tiny_folder",
]
