"""A training run as the life hooks of plugins see it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL.Image import Image

from spf_core.interfaces.training import Adapter, Backbone
from spf_core.utils.progress import Progress
from spf_core.utils.prompts import Prompt

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig
    from spf_core.plugins.discovery import Plugins


class Fit(Protocol):
    """What a hook may read while a run trains. It can set nothing; only the adapter's weights may change."""

    config: "RunConfig"
    run: Path
    plugins: "Plugins"
    backbone: Backbone
    adapter: Adapter
    progress: Progress
    step: int
    """Optimizer steps made."""

    @property
    def prompts(self) -> Sequence[Prompt]:
        """The training texts, one for each row."""

    def metadata(self) -> dict[str, str]:
        """What a weights file of this step says about itself."""

    def averaged(self) -> AbstractContextManager[None]:
        """Within the context the adapter has the weights that the run would end with now."""

    def track(self, numbers: Mapping[str, Any], images: Mapping[str, Image]) -> None:
        """Give numbers and pictures of this step to the run's trackers, such as TensorBoard.

        TypeError for a value that is no number, and for a picture that is none of PIL.
        """
