"""What each kind of component must do. Protocols: a plugin inherits from nothing."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Tensor, nn

from spf_core.prompts import Prompt
from spf_core.types import Batch, Capture, Conditioning, Noised, PathOutput


class Backbone(Protocol):
    """A latent text-to-image model: encoders, denoiser, schedule and the pipeline that samples from it."""

    denoiser: nn.Module
    image_size: int
    abar_T: Tensor  # cumulative alphas of the training schedule

    @property
    def device(self) -> torch.device:
        """Where the parts are."""

    def to(self, device: torch.device) -> None:
        """Move every part to `device`."""

    def encode_prompts(self, prompts: Sequence[Prompt], *, with_target: bool) -> Conditioning:
        """Encode the complete texts (`with_target`) or the base texts alone."""

    def encode_images(self, images_B3HW: Tensor) -> Tensor:
        """Map pixels in [-1, 1] to scaled latents (posterior mean)."""

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Map scaled latents to pixels in [-1, 1]; differentiable."""

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """E_I: unit-norm embeddings of pixels in [-1, 1]; differentiable."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """E_T: unit-norm embeddings of texts."""

    def predict(
        self, z_t_BCHW: Tensor, timesteps_B: Tensor, cond: Conditioning, capture: Capture = Capture()
    ) -> PathOutput:
        """Predict the noise eps, recording what `capture` asks for."""

    def token_count(self, text: str) -> int:
        """Tokens of `text` including begin and end marks, before truncation."""

    @property
    def max_tokens(self) -> int:
        """Tokens the text encoder reads; longer texts are truncated."""

    def pipeline(self) -> Any:
        """A diffusers pipeline over the very same modules."""

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) over the frozen weights."""


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


class Reference(Protocol):
    """The frozen path: the original model on the base text, without gradient."""

    def run(
        self, backbone: Backbone, adapter: Adapter, noised: Noised, base: Conditioning, capture: Capture
    ) -> PathOutput:
        """Return theta_0's output for the same z_t and t under the base text."""


@dataclass(frozen=True)
class StepState:
    """Everything a control map or a term may read in one step."""

    backbone: Backbone
    batch: Batch
    noised: Noised
    response: PathOutput
    reference: PathOutput | None
    map_B1HW: Tensor | None
    has_target_B: Tensor  # bool; False where the response path read the base text or the empty text
    progress: float

    @property
    def cond(self) -> Conditioning:
        """The conditioning of complete texts."""
        return self.batch.complete


class ControlMap(Protocol):
    """Builds M, the map of where the target responds."""

    def __call__(self, state: StepState) -> Tensor:
        """Return M as B 1 H W in [0, 1], detached; `state.map_B1HW` is still None."""


class Term(Protocol):
    """One term of the objective (a loss or a response enhancement)."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the unweighted scalar."""


@dataclass(frozen=True)
class Quadruples:
    """Same-seed images of one target, prompt-major; lists run over N = prompts x seeds.

    A original/base, B original/complete, C tuned/complete, D tuned/base, A2 original/base with another seed.
    """

    target: str
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    a: list[Image]
    b: list[Image]
    c: list[Image]
    d: list[Image]
    a2: list[Image]


@dataclass(frozen=True)
class Region:
    """Which pixels may change: `inside` N H W bool, and the complement that must not."""

    outside_NHW: Tensor


class Metric(Protocol):
    """A per-pair distance between two lists of images; lower is closer."""

    part: str  # the pollution part it measures: appearance, structure, layout, identity or attributes

    def __call__(self, first: Sequence[Image], second: Sequence[Image], region: Region | None, target: str) -> Tensor:
        """Return N distances, NaN where a pair has none; `region` None compares whole images."""


class Suite(Protocol):
    """A world: training folders, unseen prompts, judges that no training ever used."""

    targets: tuple[str, ...]

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """Write an image folder with metadata.jsonl; deterministic for a seed."""

    def prompts(self, target: str, count: int, *, seed: int, split: str) -> list[Prompt]:
        """Unseen prompts of the target; never in any training set."""

    def target_probability(self, images: Sequence[Image], target: str) -> Tensor:
        """tau: N probabilities of the target."""

    def attributes(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Per attribute N x K probabilities."""

    def regions(self, a: Sequence[Image], other: Sequence[Image], target: str) -> Region:
        """The target's region from an independent parser."""

    def positives(self, target: str, count: int, *, seed: int) -> list[Image]:
        """Real examples that show the target: the scale of the effect."""

    def allowed_attributes(self, target: str) -> tuple[str, ...]:
        """Attributes that the target may legitimately change."""
