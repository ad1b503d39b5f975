"""Memory and time that training can do without: activations, idle encoders, kernels one by one."""

from spf_core.config.sections import TrainSection
from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone, Checkpointing, OffloadsTextEncoders

COMPILER = "inductor"


def save_memory(backbone: Backbone, train: TrainSection, *, park: bool = True) -> None:
    """Called when all rows are encoded; with `park` the text encoders are done.

    ConfigError where the backbone cannot do what `train` asks for.
    """
    if train.gradient_checkpointing:
        if not isinstance(backbone, Checkpointing):
            raise ConfigError("train.gradient_checkpointing: this backbone cannot do it; set it to false")
        backbone.checkpoint_gradients()
    if park and backbone.device.type != "cpu" and isinstance(backbone, OffloadsTextEncoders):
        backbone.offload_text_encoders()


def save_time(backbone: Backbone, train: TrainSection) -> None:
    """Called when the adapter is attached. Compiles in place: names and modules stay as they are.

    Recording attention and switching the adapter off are further graphs of the same denoiser.
    """
    if train.compile:
        backbone.denoiser.compile(backend=COMPILER)
