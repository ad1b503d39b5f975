"""Contracts of training and sampling: models, adapters, maps and terms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from spf_core.interfaces.attention import AttentionSite
from spf_core.interfaces.noise import NoiseProcess
from spf_core.interfaces.types import NOTHING, Batch, Capture, Conditioning, Noised, PathOutput
from spf_core.utils.progress import Progress
from spf_core.utils.prompts import Prompt

TextName = Literal["complete", "base", "target", "empty"]


class Backbone(Protocol):
    """A latent text-to-image model: encoders, denoiser, schedule and the pipeline that samples from it."""

    denoiser: nn.Module
    """The network that is trained."""
    loop_names: Mapping[str, str]
    """Inputs of the pipeline that its sampling loop calls otherwise."""
    image_size: int
    """Side of the pictures that it draws, in pixels, where nothing else is asked."""
    clip_size: int
    """Side of the pictures that `embed_images` looks at; others are resized."""
    noise: NoiseProcess
    """How an image becomes noise, what the model predicts, and its sampler."""
    dtype: torch.dtype
    """Type of the frozen weights; what goes in and comes out is float32."""

    @property
    def denoiser_name(self) -> str:
        """What the pipeline calls the denoiser: "unet" or "transformer"."""

    @property
    def device(self) -> torch.device:
        """Where the parts are."""

    def to(self, device: torch.device) -> None:
        """Move every part to `device`."""

    def encode_prompts(self, prompts: Sequence[Prompt], *, with_target: bool) -> Conditioning:
        """Encode the complete texts (`with_target`) or the base texts alone."""

    def attention_sites(self) -> Sequence[AttentionSite]:
        """The denoiser's layers in which image queries meet text keys, in the order of a pass.

        `PathOutput` has what they record under their names; none where the model has no such layer.
        """

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """C, H and W of the latents of pictures of this size in pixels."""

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        """Map pixels in [-1, 1] to scaled latents (posterior mean)."""

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Map scaled latents to pixels in [-1, 1]; differentiable."""

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """E_I: unit-norm embeddings of pixels in [-1, 1]; differentiable."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """E_T: unit-norm embeddings of texts."""

    def predict(
        self, z_t_BCHW: Tensor, timesteps_B: Tensor, cond: Conditioning, capture: Capture = NOTHING
    ) -> PathOutput:
        """Predict in the space of the noise process, recording what `capture` asks for.

        That is the noise eps for `DDPMNoise` and the velocity eps - z_0 for `FlowNoise`.
        """

    def token_count(self, text: str) -> int:
        """Tokens of `text` including begin and end marks, before truncation."""

    @property
    def max_tokens(self) -> int:
        """Tokens the text encoder reads; longer texts are truncated."""

    def pipeline(self) -> Any:
        """A diffusers pipeline over the very same modules."""

    def pipeline_inputs(self, cond: Conditioning) -> dict[str, Tensor]:
        """Encoded texts under the names of the pipeline's arguments, `prompt_embeds` among them."""

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over the frozen weights."""


@runtime_checkable
class Checkpointing(Protocol):
    """A backbone that can compute activations a second time instead of keeping them."""

    def checkpoint_gradients(self) -> None:
        """Do so in every backward pass from now on."""


@runtime_checkable
class TunesText(Protocol):
    """A backbone whose text encoders can be tuned: it reads the texts of a step as they are by then."""

    def read_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the denoiser reads of texts, `embeds_BLD` and `pooled_BD`; with gradient."""


@runtime_checkable
class OffloadsTextEncoders(Protocol):
    """A backbone whose text encoders can leave the device, and still encode."""

    def encoders(self) -> Sequence[nn.Module]:
        """What leaves."""

    def offload_text_encoders(self) -> None:
        """Move them to the CPU."""


@runtime_checkable
class Quantizable(Protocol):
    """A backbone that can pack the weights of its denoiser; `quantized` says how they are, or `none`."""

    quantized: str

    def quantize(self, quantize: str, device: torch.device) -> None:
        """Pack them on `device`; layers that are trained are left out. ConfigError without the library."""


class Adapter(Protocol):
    """Trainable parameters on a backbone that can be switched off and scaled."""

    def attach(self, backbone: Backbone) -> None:
        """Make the parameters; everything else of the backbone is frozen."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """The trainable parameters, float32."""

    def disabled(self) -> AbstractContextManager[None]:
        """Within the context the backbone computes exactly the original model."""

    def scale(self, strength: float) -> None:
        """Set the strength: 0 is the original model exactly, 1 the trained one."""

    def state_dict(self) -> dict[str, Tensor]:
        """The trained tensors, keyed by module path."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""


@runtime_checkable
class TextTuning(Protocol):
    """An adapter that can tune the text encoders too."""

    def text_parameters(self) -> Sequence[nn.Parameter]:
        """Those of `parameters()` that are theirs; none where it leaves them as they are."""


@runtime_checkable
class Shardable(Protocol):
    """An adapter whose parameters are the denoiser's own, so that processes can share them out."""

    def in_shards(self, shard: Callable[[nn.Module], None]) -> Adapter:
        """The same adapter, not attached yet; `shard` leaves each process its share of a module."""


@runtime_checkable
class Detachable(Protocol):
    """An adapter that can be taken off its backbone again, which another may then be attached to."""

    def detach(self) -> None:
        """Leave the backbone as it was before `attach`."""


@runtime_checkable
class HasWeightDrift(Protocol):
    """An adapter that knows how far it has moved the weights."""

    def drift(self) -> Tensor:
        """|| theta - theta_0 ||^2, a scalar with gradient."""


@runtime_checkable
class AllocatesRank(Protocol):
    """An adapter that changes its own size while it is trained; `budget` is what it remembers for that."""

    @property
    def budget(self) -> "Stateful":
        """What a checkpoint keeps besides the weights."""

    def start(self, steps: int) -> None:
        """Called once before the first of `steps` optimizer steps."""

    def after_step(self, step: int) -> None:
        """Called after optimizer step `step` (from 1), while the gradients are still there."""

    def orthogonality(self) -> Tensor:
        """How far the factors are from orthogonal, a scalar with gradient."""


@dataclass(frozen=True)
class LowRankUpdate:
    """The change `scale * up down` of one layer's weight; of convolutions, as PEFT and kohya keep it."""

    down: Tensor
    """Shape R I, or R I kh kw."""
    up: Tensor
    """Shape O R, or O R 1 1."""
    scale: float

    @property
    def rank(self) -> int:
        """R."""
        return len(self.down)


@runtime_checkable
class LowRank(Protocol):
    """An adapter whose whole effect is a low-rank update of some layers: other programs call it a LoRA."""

    def updates(self) -> dict[str, LowRankUpdate]:
        """At strength 1, by part and layer as in `unet.mid_block...to_q`; RunError when it cannot be had."""


@runtime_checkable
class Mergeable(Protocol):
    """An adapter whose effect can be written into the weights of the model."""

    def merged(self) -> dict[str, Tensor]:
        """The weights it changes, at the present strength, as in `unet.mid_block...to_q.weight`."""


class Reference(Protocol):
    """The frozen path: the original model on the base text, without gradient."""

    def run(
        self, backbone: Backbone, adapter: Adapter, noised: Noised, base: Conditioning, capture: Capture
    ) -> PathOutput:
        """Return theta_0's output for the same z_t and t under the base text."""


@dataclass(frozen=True)
class SampledStates:
    """A state and its timestep for every row of a batch; `output` is theta_0's on it where that is known."""

    states_BCHW: Tensor
    timesteps_B: Tensor
    output: PathOutput | None = None


class States(Protocol):
    """Where rows find a state of the original model's own sampling."""

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> SampledStates:
        """One state per row."""


@runtime_checkable
class RecordsStates(Protocol):
    """A reference path that runs before training alone: on states of the original model's own sampling."""

    def record(
        self,
        backbone: Backbone,
        base: Conditioning,
        states: States,
        capture: Capture,
        *,
        generator: torch.Generator,
        progress: Progress,
    ) -> States:
        """Some of the rows' `states`, with this path's output on them; `base` holds a text for each row.

        Steps read the outputs and run this path no more. Rows that are noised images have no output then,
        and are not aligned.
        """


class Predictions(Protocol):
    """Both models at the step's z_t and t under any of its texts; asking again costs nothing."""

    def text(self, text: TextName) -> Conditioning:
        """What the tuned model reads under `text`; with gradient where its text encoders are tuned."""

    def tuned(self, text: TextName) -> Tensor:
        """The tuned model's prediction at z_t and t under `text`, B C H W, with gradient."""

    def original(self, text: TextName) -> Tensor:
        """The original model's prediction at z_t and t under `text`, B C H W, without gradient."""


class PromptEditor(Protocol):
    """Changes what the tuned model reads when it is sampled; training never sees it."""

    def __call__(self, backbone: Backbone, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of the texts, B L D."""


class Reward(Protocol):
    """Judges pictures while they are trained on: a differentiable preference."""

    def __call__(self, backbone: Backbone, images_B3HW: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Return B rewards of pixels in [-1, 1], higher is better."""


@dataclass(frozen=True)
class StepState:
    """Everything a control map or a term may read in one step."""

    backbone: Backbone
    batch: Batch
    noised: Noised
    response_text: Conditioning
    """What each row of the response path read."""
    reference_text: Conditioning
    """What each row of the reference path read."""
    response: PathOutput
    """The model in training, with gradient."""
    reference: PathOutput | None
    """The frozen path on the same z_t; None unless `needs` names it."""
    map_B1HW: Tensor | None
    """The control map in [0, 1]; None unless `needs` names it."""
    has_target_B: Tensor
    """False where the response path read the base text or the empty text."""
    dropped_B: Tensor
    """True for rows that read the empty text and learn their image: there the map is 1."""
    progress: float
    """Share of the training that is done, in [0, 1]."""
    adapter: Adapter
    predictions: Predictions
    generator: torch.Generator
    """On the CPU, for terms that draw something themselves."""
    reward: Reward | None = None

    @property
    def grids(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each attention site's positions, by its name."""
        height, width = self.noised.z_t_BCHW.shape[-2:]
        return {site.name: site.grid(height, width) for site in self.backbone.attention_sites()}

    @property
    def has_image_loss_B(self) -> Tensor:
        """Rows that may be compared with their training image: noised, with the target or no text."""
        return (self.has_target_B | self.dropped_B) & self.noised.from_data_B


class ControlMap(Protocol):
    """Builds M, the map of where the target responds."""

    def __call__(self, state: StepState) -> Tensor:
        """Return M as B 1 H W in [0, 1], detached; `state.map_B1HW` is still None."""


@runtime_checkable
class Stateful(Protocol):
    """A control map, a term or an adapter with a state of its own, which is kept in checkpoints."""

    def state_dict(self) -> dict[str, Tensor]:
        """The state as tensors on any device."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`."""


class Term(Protocol):
    """One term of the objective (a loss or a response enhancement)."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the unweighted scalar."""


@runtime_checkable
class Staged(Protocol):
    """A term whose first step begins a stage of training; what it keeps for that is for `Stateful`."""

    def begin_run(self, adapter: Adapter) -> None:
        """Called before the run's first step, and not where it is resumed later."""

    def begin_stage(self, adapter: Adapter) -> None:
        """Called once, before the first step in which the term is active: it may load other weights.

        The optimizer and the average of the weights then begin anew.
        """
