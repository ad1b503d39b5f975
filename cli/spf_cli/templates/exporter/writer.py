"""What the exporter writes."""

from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

if TYPE_CHECKING:
    from spf_core.export.run import FinishedRun


def write(run: "FinishedRun") -> None:
    """Write `run.request.out`, whole or not at all."""
    out, tensors = run.request.out, run.opened.adapter.state_dict()
    half = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in tensors.items()}
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        save_file(half, unfinished, {"format": "pt"})
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
