"""Files that can be read to their end. Torch-free."""

import errno
from pathlib import Path


def refuse_special(file: Path) -> None:
    """OSError when what stands there is no file: a pipe would be waited for, a device never ends."""
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "It is not a file", str(file))
