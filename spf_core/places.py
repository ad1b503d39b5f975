"""Where spf keeps what it can make again. Torch-free."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$SPF_CACHE, or ~/.cache/spf."""
    chosen = os.environ.get("SPF_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "spf"
