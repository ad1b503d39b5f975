"""A preset for spf: a named choice of components with weights and schedule."""

from typing import Any, ClassVar

from spf_core.plugins import PresetConfig, Register, hookimpl


class NewThing(PresetConfig):
    """Plain fine-tuning, held to the original model's predictions under the base text."""

    name = "new-thing"
    # A mapping like a configuration file; `spf plugins list` shows the components that there are.
    settings: ClassVar[dict[str, Any]] = {
        "backbone": "mini",
        "adapter": {"name": "lora-adapter", "rank": 8},
        "reference": "adapter-off",
        "control_map": "uniform",
        "losses": {"denoising": {}, "output-alignment": {"weight": 0.5, "rows": "preserved"}},
        "optimizer": {"learning_rate": 5e-4},
        "train": {"steps": 400, "base_share": 0.25},
    }


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
