"""Local folders in transformers' and diffusers' format, read with every failure as one line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from spf_core.errors import RunError, SpfError, quoted, short
from spf_core.runs.checkpoint import refuse_non_numbers
from spf_core.utils.special_files import refuse_special


def load_network(cls: Any, folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """The network in `folder`, frozen, in evaluation mode; RunError when a tensor is missing or no number."""
    network, report = load(
        cls, folder, use_safetensors=True, output_loading_info=True, dtype=dtype, **options
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise RunError(f"the weights in '{folder}' lack the tensor '{missing[0]}'; restore the original file")
    refuse_non_numbers(network.state_dict().items(), folder)
    return frozen(network, dtype)


def frozen(network: Any, dtype: torch.dtype) -> Any:
    """The network in `dtype`, in evaluation mode, without gradients."""
    if any(each.dtype != dtype for each in network.parameters()):
        network = network.to(dtype)
    return network.eval().requires_grad_(False)


def load(cls: Any, folder: Path, **options: Any) -> Any:
    """`cls.from_pretrained` of a local folder; RunError of one line when it is damaged.

    Code that the folder brings does not run: transformers would ask on a terminal whether it may.
    """
    if cls.__module__.startswith("transformers.models.auto."):
        options["trust_remote_code"] = False
    with blaming(folder):
        for file in folder.iterdir():
            if not file.is_dir():
                refuse_special(file)
            if file.name.endswith("config.json"):
                _refuse_no_object(file)
        return cls.from_pretrained(folder, local_files_only=True, **options)


def _refuse_no_object(file: Path) -> None:
    """RunError for settings that are a number or a list: diffusers would ask the network for the file."""
    try:
        settings = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return  # the library says what is wrong
    if not isinstance(settings, dict):
        raise RunError(
            f"'{file}' holds {quoted(settings, 40)}, which is no JSON object; restore the original"
        )


@contextmanager
def blaming(place: Path) -> Iterator[None]:
    """RunError that names `place` for whatever a library raises over it: no list of kinds is complete."""
    try:
        yield
    except (SpfError, MemoryError):
        raise
    except Exception as error:
        raise damaged(place, error) from None


def damaged(place: Path, error: BaseException) -> RunError:
    """The error for a file or folder that cannot be read."""
    reason = short(" ".join(str(error).split()), 160)
    return RunError(f"'{place}' cannot be loaded ({type(error).__name__}: {reason}); restore the original")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back transformers' bars and reports (what matters is raised), and keep torch's random state."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    diffusers_bars = diffusers_logging.is_progress_bar_enabled()
    diffusers_logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if diffusers_bars:
            diffusers_logging.enable_progress_bar()
        if bars:
            transformers_logging.enable_progress_bar()
