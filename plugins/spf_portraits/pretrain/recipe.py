"""Every number of the recipe in one place. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from spf_core.utils.paths import cache_folder

RESOLUTION = 64
LATENT_CHANNELS = 4
LATENT_SIZE = 16
TEXT_WIDTH = 192
TEXT_LENGTH = 77
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


@dataclass(frozen=True)
class SetPlan:
    """One rendered set: `target_rate` of its portraits carry a target of the named groups.

    Styles are drawn `style_weight` times as often as other targets.
    """

    name: str
    count: int
    seed: int
    target_rate: float
    groups: tuple[str, ...]
    split: str = "train"
    views: int = 1
    parts: bool = False
    style_weight: int = 1


SETS = (
    SetPlan("clip", 20_000, 11, 0.5, ("weak", "novel")),
    SetPlan("unet", 20_000, 12, 0.03, ("weak",)),
    SetPlan("judge", 12_000, 13, 0.7, ("weak", "novel"), views=2, parts=True, style_weight=3),
    SetPlan("heldout", 1_000, 14, 0.5, ("weak", "novel"), split="test", views=2, parts=True),
)


@dataclass(frozen=True)
class Stage:
    """Optimisation of one network: AdamW, linear warm-up, cosine decay to zero."""

    name: str
    steps: int
    batch: int
    rate: float
    warmup: int = 100
    decay: float = 0.01
    seed: int = 0


STAGES = {
    stage.name: stage
    for stage in (
        Stage("clip", 1_500, 96, 1e-3, decay=0.05),
        Stage("text", 1_400, 192, 5e-4, decay=0.05),
        Stage("vae", 1_800, 16, 1e-3, decay=0.0),
        Stage("unet", 6_000, 32, 6e-4, warmup=150),
        Stage("probe", 8_000, 64, 2e-3, warmup=50),
        Stage("segmenter", 2_500, 32, 2e-3, warmup=50),
        Stage("identity", 3_000, 128, 2e-3, warmup=50),
    )
}

KL_WEIGHT = 1e-3
SNR_RANGE = (0.1, 5.0)
EMA_DECAY = 0.999
CAPTION_DROPOUT = 0.1
PAD_DROPOUT = 0.5
COMPLETE_CAPTIONS = 0.4
MENTION_RATE = 0.75
GUIDANCE = 3.0
SAMPLER_STEPS = 20


def default_cache() -> Path:
    """Folder for data and checkpoints: `$SPF_CACHE/mini`, or `~/.cache/spf/mini`."""
    return cache_folder() / "mini"


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    cache: Path = field(default_factory=default_cache)
    weights: Path = WEIGHTS
    steps: int | None = None
    resume: bool = False
    threads: int = 2
    save_every: int = 300
    snapshot_every: int = 0
    snapshots: Path | None = None

    def stage(self, name: str) -> Stage:
        """The recipe's stage, with `--steps` applied."""
        stage = STAGES[name]
        if self.steps is None:
            return stage
        return Stage(stage.name, self.steps, stage.batch, stage.rate, stage.warmup, stage.decay, stage.seed)
