"""Names that have moved: they work for one more minor version of the API, with a warning. Torch-free."""

import importlib
import warnings
from collections.abc import Callable, Collection
from typing import Any


def moved(old: str, new: str, names: Collection[str], *, gone_in: str) -> Callable[[str], Any]:
    """A module's `__getattr__` for `names`, which now are in the module `new`.

    Reading one warns with a FutureWarning, which Python shows, that names the API version where it is gone.
    """

    def read(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module '{old}' has no attribute '{name}'")
        warnings.warn(
            f"{old}.{name} has moved; import it from {new}. The old name is gone in API {gone_in}",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(new), name)

    return read
