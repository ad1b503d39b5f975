"""Python, libraries, device, precision and disk."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from spf_cli.doctor.finding import Finding
from spf_cli.doctor.versions import installed_version
from spf_core.utils.devices import pick_device
from spf_core.utils.paths import cache_folder

PACKAGE = "spf"
FOR_DEVELOPERS = {"dev", "docs"}  # extras that no user needs
GIB = 2**30
LEAST, ROOMY = 1 * GIB, 20 * GIB  # a published model with its downloads takes several GiB
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def versions() -> Iterator[Finding]:
    """Python and every library against the ranges that the package declares."""
    try:
        wanted = SpecifierSet(metadata(PACKAGE)["Requires-Python"] or "")
        needs = [Requirement(line) for line in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        yield Finding(
            "package", "broken", "spf is not installed as a package", "pip install -e . in its folder"
        )
        return
    python = platform.python_version()
    fits = wanted.contains(python, prereleases=True)
    way_out = "" if fits else f"make a virtual environment with Python {wanted}"
    yield Finding("python", "fine" if fits else "broken", f"{python}, at {sys.prefix}", way_out)
    yield from libraries([need for need in needs if need.marker is None])
    extras = set(metadata(PACKAGE).get_all("Provides-Extra") or ()) - FOR_DEVELOPERS
    optional = {need.name for need in needs for extra in extras if _belongs(need, extra)}
    absent = sorted(name for name in optional if installed_version(name) is None)
    if absent:
        names = " ".join(absent)
        yield Finding(
            "optional", "note", f"not installed: {', '.join(absent)}", f"if wanted: pip install {names}"
        )


def _belongs(need: Requirement, extra: str) -> bool:
    return need.marker is not None and need.marker.evaluate({"extra": extra})


def libraries(needs: list[Requirement]) -> Iterator[Finding]:
    """One finding for each library that is absent or out of its range, or a single one when all fit."""
    wrong = 0
    for need in needs:
        found = installed_version(need.name)
        if found is None or not need.specifier.contains(found, prereleases=True):
            wrong += 1
            state = "not installed" if found is None else f"{found}, not {need.specifier}"
            yield Finding(need.name, "broken", state, f"pip install '{need}'")
    if not wrong:
        yield Finding("libraries", "fine", f"all {len(needs)} within their ranges, torch {torch.__version__}")


def devices() -> Iterator[Finding]:
    """The device that `auto` picks, and which number formats compute on it."""
    device = pick_device("auto")
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        yield Finding("device", "fine", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    elif device.type == "mps":
        yield Finding("device", "fine", "Apple GPU (mps)")
    else:
        yield _without_gpu()
    for name, dtype in _TYPES.items():
        yield _precision(name, dtype, device)


def _without_gpu() -> Finding:
    if shutil.which("nvidia-smi") and torch.version.cuda is None:
        way_out = "install a CUDA build of torch: https://pytorch.org/get-started/locally"
        return Finding("device", "note", "the machine has a GPU, but this torch is built for CPUs", way_out)
    way_out = "mini trains in minutes; sd15 and sdxl need a GPU"
    return Finding("device", "note", f"CPU, {os.cpu_count()} cores; no GPU was found", way_out)


def _precision(name: str, dtype: torch.dtype, device: torch.device) -> Finding:
    if name == "fp16" and device.type == "cpu":
        return Finding(name, "note", "needs a GPU", "use train.precision=bf16 or no")
    try:
        with torch.autocast(device.type, dtype=dtype):
            ones = torch.ones(8, 8, device=device)
            works = bool(((ones @ ones) == 8).all())
    except (RuntimeError, TypeError) as error:
        return Finding(name, "note", " ".join(str(error).split())[:80], "use train.precision=no")
    emulated = device.type == "cuda" and name == "bf16" and not torch.cuda.is_bf16_supported(False)
    if emulated or not works:
        return Finding(
            name, "note", "emulated, which is slow" if emulated else "computes wrongly", "use fp16"
        )
    return Finding(name, "fine", f"computes on {device.type}")


def places(out: Path | None) -> Iterator[Finding]:
    """Space and write access of the cache and, if there is one, of the output folder."""
    yield _place("cache", cache_folder(), "set SPF_CACHE to a folder that")
    if out is not None:
        yield _place("out", out, "choose another --out that")


def _place(subject: str, folder: Path, choose: str) -> Finding:
    parent = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not parent.is_dir():
        return Finding(subject, "broken", f"'{parent}' is a file", f"{choose} is a folder")
    try:
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(b"spf")
    except OSError as error:
        return Finding(subject, "broken", f"'{parent}': {error.strerror}", f"{choose} you may write")
    free = shutil.disk_usage(parent).free
    found = f"'{folder}', {free / GIB:.1f} GiB free"
    if free < LEAST:
        return Finding(subject, "broken", found, f"free some space, or {choose} has more")
    return Finding(subject, "fine", found) if free >= ROOMY else Finding(subject, "note", found, _TIGHT)


_TIGHT = "enough for mini; sd15 and sdxl download and keep several GiB"
