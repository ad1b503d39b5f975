"""A world small enough to judge exactly: a field, a shirt below, a face, and a yellow dot as target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from spf_core.interfaces import PuritySet, Quadruples, Region, TrainingFacts, UnseenPrompt
from spf_core.utils.prompts import Prompt

SIZE = 32
COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 200),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "yellow": (250, 220, 0),
    "pink": (250, 170, 180),
    "brown": (120, 70, 40),
}
FIELD, SHIRT, FACE, DOT = range(4)
PLACES = {SHIRT: np.s_[24:, 4:28], FACE: np.s_[6:22, 8:24], DOT: np.s_[10:15, 11:21]}


@dataclass(frozen=True)
class Scene:
    background: str = "red"
    shirt: str = "black"
    face: str = "pink"
    dot: float = 0.0  # opacity of the target

    def draw(self) -> Image.Image:
        canvas = np.empty((SIZE, SIZE, 3))
        canvas[:] = COLOURS[self.background]
        canvas[PLACES[SHIRT]] = COLOURS[self.shirt]
        canvas[PLACES[FACE]] = COLOURS[self.face]
        canvas[PLACES[DOT]] += self.dot * (np.array(COLOURS["yellow"]) - canvas[PLACES[DOT]])
        return Image.fromarray(canvas.round().astype(np.uint8))

    def but(self, **changes) -> Scene:
        return replace(self, **changes)


class Squares:
    label = "squares"
    targets = ("dot", "nothing-else")
    attributes = MappingProxyType({"background": ("red", "green", "blue"), "shirt": ("black", "white")})
    purity = PuritySet("squares-1", ("appearance", "structure", "layout", "identity", "attributes"))

    def write_training_set(self, out, *, target, count, bias, seed, size):
        raise NotImplementedError

    def recognise(self, folder):
        mark = folder / "squares.txt"
        return TrainingFacts("dot", {"background": mark.read_text()}) if mark.is_file() else None

    def prompts(self, target, count, *, seed, split, avoid=()):
        rng = np.random.default_rng(seed)
        found, number = [], 0
        while len(found) < count:
            values = {name: str(rng.choice(options)) for name, options in self.attributes.items()}
            mentioned = values if len(found) % 2 == 0 else {"shirt": values["shirt"]}
            text = f"{split} picture {number} with " + ", ".join(f"{v} {k}" for k, v in mentioned.items())
            number += 1
            if text not in avoid:
                found.append(UnseenPrompt(Prompt(text, "with a dot"), mentioned))
        return found

    def positives(self, target, count, *, seed, size):
        return [Scene(dot=1.0).draw().resize((size, size))] * count

    def target_probability(self, images, target):
        face = _mean(images, PLACES[FACE])
        dot, yellow = _mean(images, PLACES[DOT]), torch.tensor(COLOURS["yellow"]) / 255
        ring = (face * 256 - dot * 50) / 206
        return ((dot - ring).norm(dim=1) / (yellow - ring).norm(dim=1)).clamp(0, 1)

    def attribute_probabilities(self, images):
        seen = {"background": _mean(images, np.s_[:5]), "shirt": _mean(images, PLACES[SHIRT])}
        return {name: _closest(seen[name], values) for name, values in self.attributes.items()}

    def segment(self, images):
        parts = torch.full((len(images), SIZE, SIZE), FIELD)
        for part in (SHIRT, FACE):
            parts[(slice(None), *PLACES[part])] = part
        seen = self.target_probability(images, "dot") > 0.1
        parts[(slice(None), *PLACES[DOT])] = torch.where(seen, DOT, FACE)[:, None, None]
        return parts

    def identity(self, images):
        return F.normalize(_mean(images, np.s_[16:22, 8:24]) - 0.5, dim=1)

    def patch_features(self, images):
        return F.avg_pool2d(_pixels(images), SIZE // 8) + 0.01

    def region(self, a, other, target):
        inside = torch.zeros(len(a), SIZE, SIZE, dtype=torch.bool)
        inside[(slice(None), *PLACES[FACE])] = True
        return Region(~inside, ~inside)

    def allowed_parts(self, target):
        return frozenset({DOT, FACE})

    def allowed_attributes(self, target):
        return frozenset()

    def changes_identity(self, target):
        return False


def scenes(count: int, *, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    values = Squares.attributes
    faces = ("pink", "brown")
    return [
        Scene(str(rng.choice(values["background"])), str(rng.choice(values["shirt"])), str(rng.choice(faces)))
        for _ in range(count)
    ]


def quadruples(originals, tuned, *, tuned_base=None, prompted=None, seeds=1) -> Quadruples:
    """Quadruples of drawn scenes, with other scenes as the re-seed; the original knows no target."""
    a = [scene.draw() for scene in originals]
    prompts = Squares().prompts("dot", len(a) // seeds, seed=0, split="test")
    noise = tuple(range(len(a)))
    return Quadruples(
        target="dot",
        prompts=tuple(prompts),
        seeds=seeds,
        noise=noise,
        noise2=noise,
        a=a,
        b=[scene.draw() for scene in prompted or originals],
        c=[scene.draw() for scene in tuned],
        d=[scene.draw() for scene in tuned_base or originals],
        a2=[scene.draw() for scene in scenes(len(a), seed=99)],
        rerun=a[:2],
    )


def _pixels(images):
    arrays = [np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float32) / 255 for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def _mean(images, place):
    rows, columns = place if isinstance(place, tuple) else (place, slice(None))
    return _pixels(images)[:, :, rows, columns].mean(dim=(2, 3))


def _closest(seen_N3, values):
    wanted_K3 = torch.tensor([COLOURS[value] for value in values]) / 255
    return (-20 * torch.cdist(seen_N3, wanted_K3)).softmax(dim=1)
