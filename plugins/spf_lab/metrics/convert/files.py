"""Reading upstream's files without running what is in them, and writing what a score reads."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spf_core.errors import ConfigError, RunError
from spf_core.plugins.outside_weights import CONVERTED_FROM, SUFFIX, sha256
from spf_core.runs.checkpoint import read_safetensors, refuse_non_numbers, write_safetensors
from spf_core.utils.atomic import atomic_folder

MODEL_FILE = f"model{SUFFIX}"
_WRAPPERS = ("state_dict", "model", "module")
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)


def read_upstream(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or PyTorch file; RunError when it holds code instead of tensors alone."""
    if not file.is_file():
        raise RunError(f"'{file}' does not exist; give upstream's file")
    if file.suffix == SUFFIX:
        return read_safetensors(file)[0]
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise RunError(
            f"'{file}' holds more than tensors ({type(error).__name__}: {reason}). A whole module runs code "
            "when it is opened: do that in a container that may be lost, save its state_dict(), convert that"
        ) from None
    tensors = _tensors(content)
    if not tensors:
        raise RunError(f"'{file}' holds no tensors; give upstream's file of weights")
    refuse_non_numbers(tensors.items(), file)
    return tensors


def write_folder(
    out: Path,
    tensors: Mapping[str, Tensor],
    sources: Sequence[Path],
    *,
    base: Path | None = None,
    copied: Sequence[str] = TOKENIZER,
    configs: Mapping[str, str] | None = None,
) -> None:
    """Write `out` atomically: the tensors with the sources' hashes, files copied from `base`, and texts."""
    origin = ", ".join(f"{source.name} sha256:{sha256(source)}" for source in sources)
    with atomic_folder(out) as draft:
        write_safetensors(draft / MODEL_FILE, tensors, {CONVERTED_FROM: origin, "format": "pt"})
        for name in copied if base else ():
            if base and (base / name).is_file():
                shutil.copyfile(base / name, draft / name)
        for name, text in (configs or {}).items():
            (draft / name).write_text(text, encoding="utf-8")


def matched(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
    """The wanted tensors alone; RunError for one that is missing or has another shape."""
    for name, like in wanted.items():
        if name not in tensors:
            raise RunError(
                f"{place} lacks the tensor for '{name}'; it is another network, or a part of it: "
                "give the whole one"
            )
        if tensors[name].shape != like.shape:
            found, needed = tuple(tensors[name].shape), tuple(like.shape)
            raise RunError(
                f"{place}: tensor for '{name}' has shape {found}, not {needed}; "
                "give the network that this score is made for"
            )
    return {name: tensors[name] for name in wanted}


def need_base(base: Path | None, what: str) -> Path:
    """The folder given with --base; ConfigError when there is none."""
    if base is None or not base.is_dir():
        raise ConfigError(
            f"--base {base}: give the folder of {what}, whose configuration and tokenizer are used"
        )
    return base


def need_sources(sources: Sequence[Path], *what: str) -> None:
    """ConfigError unless there is one source for each of `what`."""
    if len(sources) != len(what):
        raise ConfigError(f"{len(sources)} files are given; give {len(what)}: {', then '.join(what)}")


def _tensors(content: Any) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            return _tensors(content[wrapper])
    if not isinstance(content, Mapping):
        return {}
    found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    spread = bool(found) and all(name.startswith("module.") for name in found)
    return {name.removeprefix("module."): value for name, value in found.items()} if spread else found
