"""Backbones: text-to-image models with everything training and sampling need around them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from spf_core.plugins import BackboneConfig, HubPath, Register, UserPath, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Backbone

# By the estimate a full step then fits a card of 8 GB (SD1.5, 512 pixels) and 16 GB (SDXL, 1024 pixels).
FOR_ONE_CARD: dict[str, Any] = {
    "train": {"batch_size": 1, "accumulation": 4, "gradient_checkpointing": True, "precision": "bf16"},
    "sample": {"batch_size": 4, "precision": "bf16", "steps": 30},
}
# Both rates are those of diffusers' training scripts.
RATES = {"lora-adapter": 1e-4, "adalora-adapter": 1e-4}
RATE_OF_WHOLE_WEIGHTS = 1e-5
# Those of diffusers' training scripts for SD3.
JOINT_ATTENTION = [
    *("to_q", "to_k", "to_v", "to_out.0"),
    *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
]

Place = Annotated[
    HubPath, Field(description="Hub id, folder in diffusers' layout, or single .safetensors file.")
]


class Published(BackboneConfig):
    """A model of a published architecture, from the hub or from a folder."""

    guidance: ClassVar[float]
    path: Place
    revision: str | None = Field(
        None, description="Branch, tag or commit on the hub. By default, the default branch."
    )
    variant: str | None = Field(
        None, description="Kind of weight files, such as fp16. By default, the plain ones."
    )
    settings: UserPath | None = Field(
        None,
        description="Folder with the settings of a single file's model. By default, those of "
        "the architecture.",
    )
    clip: HubPath = Field(
        HubPath("openai/clip-vit-large-patch14"),
        description="Hub id or folder of the CLIP model that measures. A folder clip/ inside the "
        "pipeline takes precedence.",
    )

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the frozen weights. auto is bfloat16 where a GPU "
        "supports it, otherwise float32.",
    )
    quantize: Literal["none", "int8", "nf4"] = Field(
        "none",
        description="Pack the weights of the denoiser's linear layers into 8 bits, or into 4 by "
        "bitsandbytes. Adapters stay in float32.",
    )

    @property
    def packed(self) -> bool:
        """Whether `quantize` is on."""
        return self.quantize != "none"

    @classmethod
    def settings_for(cls, adapter: str) -> dict[str, Any]:
        """One picture at a time on one card, rates of models of this size, the pipeline's guidance."""
        sample = {**FOR_ONE_CARD["sample"], "guidance": cls.guidance}
        rate = RATES.get(adapter, RATE_OF_WHOLE_WEIGHTS)
        return {**FOR_ONE_CARD, "sample": sample, "optimizer": {"learning_rate": rate}}

    def build(self) -> "Backbone":
        """Load it, from the hub where it is no folder; RunError when it cannot be used.

        ConfigError when `quantize` lacks its library.
        """
        from spf_plugins.backbones.hub import find
        from spf_plugins.backbones.precision import chosen_dtype
        from spf_plugins.backbones.quantization import require_quantizer

        require_quantizer(self.quantize)  # before anything is downloaded or loaded
        architecture = self.architecture()
        places, settings = find(self, architecture.layout), Path(self.settings) if self.settings else None
        dtype = chosen_dtype(self.dtype)
        backbone: Backbone = architecture(*places, self.variant, dtype, settings, self.quantize)
        return backbone

    def look(self) -> str:
        """Where it comes from, without CLIP; RunError when that cannot be reached."""
        from spf_plugins.backbones.reach import look

        return look(self, self.architecture().layout)

    def companions(self) -> "dict[str, Callable[[], str]]":
        """CLIP, which measures: pipelines lack it."""
        from spf_plugins.backbones.reach import look_for_clip

        return {"CLIP": partial(look_for_clip, self)}

    @property
    def clip_size(self) -> str:
        """Size of the usual CLIP model as a download; empty for another."""
        return "1.7 GB" if self.clip == type(self).model_fields["clip"].default else ""

    def architecture(self) -> Any:
        """The class that holds such a model; imported when needed."""
        raise NotImplementedError


class Sd15(Published):
    """Stable Diffusion 1.5, and models of its architecture."""

    name = "sd15"
    family = "sd_v1"
    guidance = 7.5
    path: Place = HubPath("stable-diffusion-v1-5/stable-diffusion-v1-5")

    def architecture(self) -> Any:
        """`StableDiffusion`."""
        from spf_plugins.backbones.stable_diffusion import StableDiffusion

        return StableDiffusion


class Sdxl(Published):
    """SDXL, and models of its architecture."""

    name = "sdxl"
    family = "sdxl_base_v1-0"
    guidance = 5.0
    path: Place = HubPath("stabilityai/stable-diffusion-xl-base-1.0")

    def architecture(self) -> Any:
        """`StableDiffusionXL`."""
        from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

        return StableDiffusionXL


class Sd3(Published):
    """Stable Diffusion 3 and 3.5 with all three text encoders, and models of their architecture."""

    name = "sd3"
    guidance = 7.0
    path: Place = HubPath("stabilityai/stable-diffusion-3.5-medium")

    @classmethod
    def settings_for(cls, adapter: str) -> dict[str, Any]:
        """Those of published models, and the projections of image and text in joint attention."""
        settings = super().settings_for(adapter)
        return {**settings, "adapter": {"targets": JOINT_ATTENTION}} if adapter in RATES else settings

    def architecture(self) -> Any:
        """`StableDiffusion3`."""
        from spf_plugins.backbones.stable_diffusion_3 import StableDiffusion3

        return StableDiffusion3


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (Sd15, Sdxl, Sd3):
        register(config)
