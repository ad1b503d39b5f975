"""A score that cannot judge the first base text it meets."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from spf_core.plugins import Register, ScoreConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Backbone, Column, Quadruples, Score, Suite


class Brightness(ScoreConfig):
    """How bright the images are, times a factor."""

    name = "brightness"
    factor: float = Field(1.0, description="multiplies it")

    def build(self) -> "Score":
        return Measure(self.factor)


class Measure:
    provenance: Mapping[str, Any] = {"model": "none"}
    too_dark = ""  # the base text; of the class, since every cell builds the score anew

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, quads: "Quadruples", suite: "Suite", backbone: "Backbone") -> "dict[str, Column]":
        import numpy as np
        import torch

        from spf_core.interfaces import Column

        text = quads.prompts[0].prompt.base_text
        Measure.too_dark = Measure.too_dark or text
        if text == Measure.too_dark:
            raise ValueError("too dark")
        means = [self.factor * float(np.asarray(image).mean()) for image in quads.c]
        return {"": Column("mean of all pixels", "higher", torch.tensor(means))}


@hookimpl
def spf_register(register: Register) -> None:
    register(Brightness)
