"""What an exported file says about itself: kohya's `ss_` keys, modelspec, and our own, without local paths.

Names: kohya-ss/sd-scripts (`ss_`), Stability AI's model metadata standard 1.0.1 (`modelspec.`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from safetensors.torch import save
from torch import Tensor

from spf_core import __version__
from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError, quoted
from spf_core.export.architecture import SD15, SDXL
from spf_core.export.handover.told import told
from spf_core.export.lora import Lora
from spf_core.export.names import UNET, has_kohya_names
from spf_core.export.prediction import Prediction
from spf_core.interfaces import Backbone
from spf_core.runs.run import HANDOVER
from spf_core.utils.private import is_local
from spf_core.utils.prompts import Prompt
from spf_core.utils.yaml_text import dump_yaml

STRENGTH = "spf_strength"  # in the metadata of weights: the strength that calibration recommends
STRENGTH_BY = "spf_strength_by"  # and by which measure: `sps` or `response`
TARGETS = "spf_targets"  # and the target texts that were trained, most frequent first, as JSON
CONFIG = "spf_config"
_ARCHITECTURES = {
    "sd_v1": ("stable-diffusion-v1", "diffusers"),
    "sdxl_base_v1-0": ("stable-diffusion-xl-v1-base", "https://github.com/Stability-AI/generative-models"),
}


def weights_metadata(
    config: RunConfig, backbone: Backbone, step: int, prompts: Iterable[Prompt]
) -> dict[str, str]:
    """What weights say of themselves after `step`; the rows' `prompts` give the targets."""
    train = config.train.model_copy(update={"start_from": None})
    return {
        "format": "pt",
        "spf_version": __version__,
        "spf_backbone": backbone.fingerprint(),
        CONFIG: dump_yaml(config.model_copy(update={"data": None, "train": train}).public_settings()),
        "spf_step": str(step),
        TARGETS: _targets_of(prompts),
    }


def _targets_of(prompts: Iterable[Prompt]) -> str:
    """The distinct target texts of the training rows, most frequent first, for `spf_targets`."""
    counted = Counter(prompt.target_text for prompt in prompts if prompt.target_text)
    return json.dumps([text for text, _ in counted.most_common()], ensure_ascii=False)


@dataclass(frozen=True)
class Facts:
    """What is known of a run's weights; `family` is what other programs call the base architecture."""

    title: str
    family: str
    config: RunConfig
    metadata: Mapping[str, str]  # of the run's own weights
    image_size: int
    prediction: Prediction
    licence: str | None = None
    pipeline: str = "StableDiffusionPipeline"  # diffusers' class that loads the base model
    kohya: bool = True  # whether kohya's files have names for its layers
    schedule: Mapping[str, Any] = field(default_factory=dict)  # the scheduler's configuration
    zeros_for_empty: bool = False  # whether the model reads zeros in place of an empty text
    alias: str | None = None  # the name of the file, where it is not the title

    @property
    def opened_by_clients(self) -> bool:
        """Whether ComfyUI, A1111 and Forge open models of this architecture."""
        return self.family in (SD15, SDXL)

    @property
    def targets(self) -> list[str]:
        """The target texts, most frequent first; none in runs of older versions."""
        return self._said(TARGETS, list[str]) or []

    @property
    def handover(self) -> float:
        """Down to this fraction of the schedule the original model draws."""
        return float(self.metadata.get(HANDOVER, self.config.sample.handover))

    @property
    def timesteps(self) -> int:
        """How many timesteps the noise schedule has."""
        return int(self.schedule.get("num_train_timesteps", 1000))

    @property
    def handover_told(self) -> str:
        """When the tuned model takes over, in words; of a flow by its noise level, which no share names."""
        if self.prediction.flow:
            return f"from noise level {self.handover:g} on"
        return told(self.handover, self.timesteps)

    @property
    def strength(self) -> float | None:
        """The recommended strength, where calibration found one."""
        strength: float | None = self._said(STRENGTH, Annotated[float, Field(gt=0, allow_inf_nan=False)])
        return strength

    def _said(self, key: str, kind: Any) -> Any:
        """What the metadata says under `key`, None where it is absent; RunError for another kind of value."""
        if key not in self.metadata:
            return None
        try:
            return TypeAdapter(kind).validate_json(self.metadata[key])
        except ValueError:
            raise RunError(
                f"the weights of '{self.title}' name {key}={quoted(self.metadata[key])}, which spf never "
                "writes; get the file from its source"
            ) from None

    @property
    def base(self) -> str:
        """The base model's hub id, or the backbone's name where it was a local folder."""
        path = getattr(self.config.backbone, "path", None)
        return str(path) if path and not is_local(path, names_a_place=True) else self.config.backbone.name


def facts_of(
    title: str,
    config: RunConfig,
    backbone: Backbone,
    metadata: Mapping[str, str],
    licence: str | None = None,
) -> Facts:
    """The facts of a run, from its configuration and the metadata of its own weights."""
    pipeline = backbone.pipeline()
    scheduler = pipeline.scheduler.config
    return Facts(
        title=title,
        family=config.backbone.family or config.backbone.name,
        config=config,
        metadata=metadata,
        image_size=backbone.image_size,
        prediction=Prediction(
            v=scheduler.get("prediction_type") == "v_prediction",
            zero_snr=bool(scheduler.get("rescale_betas_zero_snr")),
            flow="prediction_type" not in scheduler,
        ),
        licence=licence,
        pipeline=type(pipeline).__name__,
        kohya=has_kohya_names(backbone),
        schedule=dict(scheduler),
        zeros_for_empty=bool(pipeline.config.get("force_zeros_for_empty_prompt")),
    )


def lora_metadata(facts: Facts, lora: Lora, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The metadata of a LoRA file with these tensors; all values are strings."""
    digest = tensor_hash(tensors)
    return {
        **(_network(facts, lora) if facts.kohya else {"format": "pt"}),
        "sshs_model_hash": digest,
        **model_spec(facts, suffix="/lora"),
        "modelspec.hash_sha256": f"0x{digest}",
        **own_metadata(facts),
    }


def _network(facts: Facts, lora: Lora) -> dict[str, str]:
    config = facts.config
    train, optimizer = config.train, config.optimizer
    in_texts = any(not key.startswith(f"{UNET}.") for key in lora.updates)
    text_rate = optimizer.text_encoder_learning_rate or optimizer.learning_rate
    tags = {"target": dict.fromkeys(facts.targets, 1)} if facts.targets else {}
    version = facts.family + ("_v" if facts.family == SD15 and facts.prediction.v else "")
    return {
        "format": "pt",
        "ss_v2": "False",
        "ss_base_model_version": version,
        "ss_sd_model_name": facts.base,
        "ss_output_name": facts.alias or facts.title,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(lora.rank),
        "ss_network_alpha": f"{lora.alpha:g}",
        "ss_network_args": json.dumps(_network_args(lora)),
        "ss_steps": facts.metadata.get("spf_step", str(train.steps)),
        "ss_max_train_steps": str(train.steps),
        "ss_batch_size_per_device": str(train.batch_size),
        "ss_gradient_accumulation_steps": str(train.accumulation),
        "ss_mixed_precision": train.precision,
        "ss_seed": str(train.seed),
        "ss_zero_terminal_snr": str(facts.prediction.zero_snr),
        "ss_resolution": f"({facts.image_size}, {facts.image_size})",
        "ss_learning_rate": f"{optimizer.learning_rate:g}",
        "ss_unet_lr": f"{optimizer.learning_rate:g}",
        **({"ss_text_encoder_lr": f"{text_rate:g}"} if in_texts else {}),
        "ss_optimizer": optimizer.name,
        "ss_lr_scheduler": optimizer.schedule,
        "ss_max_grad_norm": f"{optimizer.clip_norm:g}",
        **({"ss_tag_frequency": json.dumps(tags)} if tags else {}),
    }


def _network_args(lora: Lora) -> dict[str, str]:
    """As sd-scripts has them: the rank and alpha of convolutions of 3 x 3, where there are any."""
    found = any(update.down.ndim == 4 and update.down.shape[-1] == 3 for update in lora.updates.values())
    return {"conv_dim": str(lora.rank), "conv_alpha": f"{lora.alpha:g}"} if found else {}


def model_spec(facts: Facts, suffix: str = "") -> dict[str, str]:
    """The standard's keys for a file of the family, `suffix` being `/lora` for a LoRA.

    Its date is left out: equal trainings write equal files.
    """
    architecture, implementation = _ARCHITECTURES.get(facts.family, (facts.family, "diffusers"))
    known = {
        "sai_model_spec": "1.0.1",
        "architecture": architecture + suffix,
        "implementation": implementation,
        "title": facts.title,
        "resolution": f"{facts.image_size}x{facts.image_size}",
        "prediction_type": "" if facts.prediction.flow else "v" if facts.prediction.v else "epsilon",
        "trigger_phrase": ", ".join(facts.targets[:1]),
        "license": facts.licence or "",
        "usage_hint": usage_hint(facts),
    }
    return {f"modelspec.{name}": value for name, value in known.items() if value}


def usage_hint(facts: Facts) -> str:
    """How to use the file in a program that knows nothing of spf."""
    prompt = f"add '{facts.targets[0]}' to the prompt; " if facts.targets else ""
    strength = f"strength {1 if facts.strength is None else facts.strength:g}"
    if facts.handover == 1:
        return prompt + strength
    return (
        f"{prompt}{strength}. Made to act {facts.handover_told}, after the original model has begun the "
        "picture from the rest of the prompt; a client that cannot do that applies it throughout"
    )


def own_metadata(facts: Facts) -> dict[str, str]:
    """The run's own keys, with the settings rid of local paths, and the handover in any case."""
    kept = {name: text for name, text in facts.metadata.items() if name.startswith("spf_")}
    return {
        **kept,
        HANDOVER: f"{facts.handover:g}",
        CONFIG: dump_yaml(facts.config.public_settings()),
    }


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of what stands after a safetensors file's header, as kohya and A1111 identify a LoRA by."""
    data = save(dict(tensors))
    return hashlib.sha256(memoryview(data)[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
