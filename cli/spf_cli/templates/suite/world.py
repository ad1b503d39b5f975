"""The world: what its pictures show, its prompts, and its judges, which no training ever uses."""

import itertools
import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from spf_core.interfaces import Prompt, PuritySet, Region, TrainingFacts, UnseenPrompt
from torch import Tensor

COLOURS = {"red": (200, 60, 60), "green": (60, 160, 60), "blue": (60, 60, 200), "grey": (128, 128, 128)}
SKINS = {"light": (240, 210, 180), "dark": (120, 80, 60)}
HAT = (20, 20, 20)
FACTS = "facts.json"


class NewThingWorld:
    """Faces with two attributes, and one target, `hat`; satisfies `spf_core.interfaces.Suite`."""

    label = "new-thing"
    targets: tuple[str, ...] = ("hat",)
    attributes: Mapping[str, tuple[str, ...]] = {"background": tuple(COLOURS), "skin": tuple(SKINS)}
    purity = PuritySet("new-thing", ("appearance",))

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """Write an image folder with metadata.jsonl; deterministic for a seed."""
        out.mkdir(parents=True, exist_ok=True)
        people, rows = _people(random.Random(seed)), []
        for number in range(count):
            person = {**next(people), **bias}
            draw(person, hat=True, size=size).save(out / f"{number}.png")
            texts = {"base_text": _text(person, leave_out=bias), "target_text": "wearing a hat"}
            rows.append({"file_name": f"{number}.png", **texts})
        (out / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        facts = {"suite": self.label, "target": target, "bias": dict(bias)}
        (out / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """What `folder` trains, when this suite wrote it; otherwise None."""
        if not (folder / FACTS).is_file():
            return None
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        ours = facts.get("suite") == self.label
        return TrainingFacts(facts["target"], facts["bias"]) if ours else None

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """Prompts of the target, none with a base text in `avoid`."""
        people, found = _people(random.Random(f"{seed} {split}")), list[UnseenPrompt]()
        for number in itertools.count():
            if len(found) == count:
                break
            person = next(people)
            text = f"{_text(person)}, number {number}"
            if text not in avoid:
                found.append(UnseenPrompt(Prompt(text, "wearing a hat"), person))
        return found

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image.Image]:
        """Real examples that show the target."""
        people = _people(random.Random(seed))
        return [draw(next(people), hat=True, size=size) for _ in range(count)]

    def target_probability(self, images: Sequence[Image.Image], target: str) -> Tensor:
        """tau: the share of hat-coloured pixels where a hat is, N."""
        return (self.segment(images) == 2)[:, : images[0].height // 4].float().mean((1, 2))

    def attribute_probabilities(self, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        """Per attribute N x K probabilities: how near a corner and the middle are to each colour."""
        pixels = _pixels(images)
        middle = pixels[:, :, pixels.shape[2] // 2, pixels.shape[3] // 2]
        return {"background": _nearness(pixels[:, :, -1, 0], COLOURS), "skin": _nearness(middle, SKINS)}

    def segment(self, images: Sequence[Image.Image]) -> Tensor:
        """Part numbers, N H W: 0 background, 1 face, 2 hat, by the nearest colour."""
        pixels = _pixels(images)
        background = pixels[:, :, -1:, :1].expand_as(pixels)
        parts = [background, *(_filled(colour, pixels) for colour in (SKINS["light"], HAT))]
        return torch.stack([(pixels - part).square().sum(1) for part in parts]).argmin(0)

    def identity(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit-norm identity embeddings: the face at 4 x 4 pixels, N 48."""
        return F.normalize(F.adaptive_avg_pool2d(_pixels(images), 4).flatten(1) + 1e-3, dim=1)

    def patch_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Features of a grid of patches, N 3 8 8."""
        return F.adaptive_avg_pool2d(_pixels(images), 8)

    def region(self, a: Sequence[Image.Image], other: Sequence[Image.Image], target: str) -> Region:
        """What the target must not change: all that is a hat in neither picture."""
        outside_NHW = (self.segment(a) != 2) & (self.segment(other) != 2)
        return Region(outside_NHW, outside_NHW)

    def allowed_parts(self, target: str) -> frozenset[int]:
        """The hat."""
        return frozenset({2})

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """A hat changes none of them."""
        return frozenset()

    def changes_identity(self, target: str) -> bool:
        """A hat does not."""
        return False


def draw(person: Mapping[str, str], *, hat: bool, size: int) -> Image.Image:
    """A person as a picture."""
    image = Image.new("RGB", (size, size), COLOURS[person["background"]])
    pen = ImageDraw.Draw(image)
    pen.ellipse((size // 4, size // 4, 3 * size // 4, 3 * size // 4), fill=SKINS[person["skin"]])
    if hat:
        pen.rectangle((size // 4, size // 8, 3 * size // 4, size // 4), fill=HAT)
    return image


def _people(chance: random.Random) -> Iterator[dict[str, str]]:
    while True:
        yield {"background": chance.choice(list(COLOURS)), "skin": chance.choice(list(SKINS))}


def _text(person: Mapping[str, str], leave_out: Collection[str] = ()) -> str:
    words = {"skin": f"{person['skin']} skin", "background": f"{person['background']} background"}
    return ", ".join(["a face", *(text for name, text in words.items() if name not in leave_out)])


def _pixels(images: Sequence[Image.Image]) -> Tensor:
    """In [0, 1], N 3 H W; pictures of a list have the same size."""
    stacked = torch.stack([torch.from_numpy(np.array(image.convert("RGB"))) for image in images])
    return stacked.permute(0, 3, 1, 2).float() / 255


def _filled(colour: tuple[int, int, int], like: Tensor) -> Tensor:
    return (torch.tensor(colour).view(1, 3, 1, 1) / 255).expand_as(like)


def _nearness(pixels_N3: Tensor, colours: Mapping[str, tuple[int, int, int]]) -> Tensor:
    """Softmax of the negative squared distances to each colour, N K."""
    known_K3 = torch.tensor(list(colours.values())) / 255
    return (-20 * torch.cdist(pixels_N3, known_K3).square()).softmax(1)
