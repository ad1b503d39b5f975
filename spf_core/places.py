"""Where spf keeps what it can make again. Torch-free."""

import os
from pathlib import Path

from spf_core.utils.paths import expanded


def cache_folder() -> Path:
    """$SPF_CACHE, or ~/.cache/spf."""
    chosen = os.environ.get("SPF_CACHE")
    return Path(expanded(chosen)) if chosen else Path.home() / ".cache" / "spf"
