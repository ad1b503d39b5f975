"""Checks of metrics, scores, suites, exporters and presets."""

import hashlib
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor

from spf_core.errors import Unavailable
from spf_core.export.run import Request, export
from spf_core.interfaces import AnyTarget, NeedsModel, Quadruples, Region, Suite, UnseenPrompt
from spf_core.interfaces.types import Column, columns_of
from spf_core.plugins.configs import ExporterConfig, SuiteConfig
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject, as_json
from spf_core.testing.tiny_suite import TinySuite
from spf_core.testing.training import trained
from spf_core.utils.prompts import Prompt

SIZE = 32


def pictures(count: int, seed: int) -> list[Image]:
    """Pictures of noise, 32 x 32."""
    pixels = np.random.default_rng(seed).integers(0, 255, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return [fromarray(each) for each in pixels]


def region(count: int) -> Region:
    """The lower half must not change."""
    outside = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
    outside[:, SIZE // 2 :] = True
    return Region(outside, outside.clone())


def quadruples(count: int = 4) -> Quadruples:
    """Pictures of noise as a suite's quadruples; C and D resemble A and B."""
    a, b, other = pictures(count, 1), pictures(count, 2), pictures(count, 3)
    prompts = tuple(
        UnseenPrompt(Prompt(f"an old man, red hair {n}", "wearing a hat"), {}) for n in range(count)
    )
    seeds = tuple(range(count))
    return Quadruples("hat", prompts, 1, seeds, seeds, a, b, other, list(a), pictures(count, 4), a[:1])


def measures(subject: Subject) -> None:
    """A metric returns N distances on the CPU: 0 between equal pictures, above 0 between others."""
    metric, suite, first, second = subject.build(), TinySuite(), pictures(3, 1), pictures(3, 2)
    for where in (None, region(3)):
        given = "without a region" if where is None else "with a region"
        apart, alike = (metric(suite, first, each, where, "hat") for each in (second, list(first)))
        for found in (apart, alike):
            if not isinstance(found, Tensor) or tuple(found.shape) != (3,) or found.device.type != "cpu":
                shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise Failure(f"{given} it returns {shape} for 3 pairs; return 3 distances on the CPU")
        if bool((alike.nan_to_num() > 1e-5).any()):
            raise Failure(f"{given} equal pictures have the distances {alike.tolist()}; they must have 0")
        if bool((apart.nan_to_num() < 0).any()):
            raise Failure(f"{given} it returns negative distances; lower is closer, and 0 is equal")
        if bool(apart.isinf().any()):
            raise Failure(f"{given} it returns infinity; give NaN where a pair has no distance")
    if not isinstance(getattr(metric, "part", None), str):
        raise Failure("its `part` is no text; name the part of pollution that it measures, such as layout")


def judges_each_pair(subject: Subject) -> None:
    """A pair's distance is the same alone and among others, every time."""
    metric, suite, first, second = subject.build(), TinySuite(), pictures(3, 1), pictures(3, 2)
    together, again = (metric(suite, first, second, None, "hat") for _ in range(2))
    alone = metric(suite, first[:1], second[:1], None, "hat")
    if not torch.equal(together.nan_to_num(), again.nan_to_num()):
        raise Failure(
            "two calls with the same pictures differ; draw nothing, or from a generator of your own"
        )
    if not torch.allclose(together[:1].nan_to_num(), alone.nan_to_num(), atol=1e-4):
        raise Failure("a pair's distance depends on the other pairs; compare each pair alone")


def scores(subject: Subject) -> None:
    """A score returns columns: a finite number for each pair, or a statistic of all of them."""
    score = _score(subject)
    as_json(dict(score.provenance))
    columns = _columns(subject, score)
    if "" not in columns:
        raise Failure('its columns lack "", the score itself')
    for name, column in columns.items():
        if not isinstance(column, Column):
            raise Failure(f"column '{name}' is {type(column).__name__}; return spf_core.interfaces.Column")
        if column.values_N is None and column.statistic is None:
            raise Failure(f"column '{name}' has neither values_N nor a statistic; give one of them")
        if column.values_N is not None and tuple(column.values_N.shape) != (4,):
            raise Failure(f"column '{name}' has values of shape {list(column.values_N.shape)} for 4 pairs")
        if not column.meaning.strip():
            raise Failure(f"column '{name}' has no meaning; say in a few words what the number is")


def scores_alike(subject: Subject) -> None:
    """Asked twice, a score returns the same numbers."""
    first, second = (_columns(subject, _score(subject)) for _ in range(2))
    for name, column in first.items():
        one, other = (_numbers(each) for each in (column, second[name]))
        if any(a != b and not (isnan(a) and isnan(b)) for a, b in zip(one, other, strict=True)):
            raise Failure(f"column '{name}' differs between two calls; draw nothing, or seed what you draw")


def _score(subject: Subject) -> Any:
    try:
        return subject.build()
    except Unavailable as error:
        raise NotApplicable(str(error)) from None


def _columns(subject: Subject, score: Any) -> dict[str, Column]:
    try:
        return columns_of(score(quadruples(), TinySuite(), subject.new_backbone()))
    except Unavailable as error:
        raise NotApplicable(str(error)) from None


def _numbers(column: Column) -> list[float]:
    values = [] if column.values_N is None else column.values_N.tolist()
    return [*values, *([column.statistic(torch.arange(4))] if column.statistic else [])]


def writes_data(subject: Subject) -> None:
    """A suite writes a training folder that it recognises, the same for a seed."""
    assert isinstance(subject.config, SuiteConfig), "of that kind"
    if not subject.config.writes_data:
        raise NotApplicable("it says writes_data = False")
    suite: Suite = subject.build()
    hashes = []
    for name in ("one", "two"):
        out, target = subject.folder / name, suite.targets[0]
        suite.write_training_set(out, target=target, count=2, bias={}, seed=0, size=SIZE)
        facts = suite.recognise(out)
        if facts is None or facts.target != target:
            raise Failure(f"recognise() returns {facts} for a folder that it wrote; return its TrainingFacts")
        hashes.append(_hash(out))
    if hashes[0] != hashes[1]:
        raise Failure("two training sets of one seed differ; draw from a generator with the seed")
    other = subject.folder / "other"
    other.mkdir()
    if suite.recognise(other) is not None:
        raise Failure("recognise() knows a folder that it did not write; return None")


def _hash(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _suite(subject: Subject) -> Suite:
    """The suite; one that judges any target, for a hat. NotApplicable where its judges read a base model."""
    suite: Suite = subject.build()
    if isinstance(suite, AnyTarget) and not suite.targets:
        suite = suite.for_target("wearing a hat")
    if isinstance(suite, NeedsModel):
        raise NotApplicable("its judges read a base model and real pictures")
    return suite


def asks(subject: Subject) -> None:
    """A suite's prompts are as many as asked for, different, and none of those to avoid."""
    suite = _suite(subject)
    target = suite.targets[0]
    found = suite.prompts(target, 4, seed=0, split="test")
    texts = [each.prompt.base_text for each in found]
    if len(set(texts)) != 4:
        raise Failure(f"4 prompts were asked for, and it gives {len(set(texts))} different ones")
    if any(not each.prompt.target_text for each in found):
        raise Failure("a prompt has no target text; every prompt asks for the target")
    again = [each.prompt.base_text for each in suite.prompts(target, 4, seed=0, split="test")]
    if again != texts:
        raise Failure("prompts of one seed differ; draw from a generator with the seed")
    later = suite.prompts(target, 2, seed=0, split="test", avoid=set(texts[:2]))
    if {each.prompt.base_text for each in later} & set(texts[:2]):
        raise Failure("it gives prompts whose base text it must avoid")


def judges(subject: Subject) -> None:
    """A suite's judges answer for every picture, in the shapes of the protocol."""
    suite = _suite(subject)
    target, images = suite.targets[0], pictures(2, 0)
    shapes: dict[str, tuple[Tensor, Sequence[int | None]]] = {
        "target_probability": (suite.target_probability(images, target), (2,)),
        "segment": (suite.segment(images), (2, None, None)),
        "identity": (suite.identity(images), (2, None)),
        "patch_features": (suite.patch_features(images), (2, None, None, None)),
        "region().outside_NHW": (suite.region(images, images, target).outside_NHW, (2, None, None)),
    }
    for name, values in suite.attribute_probabilities(images).items():
        shapes[f"attribute_probabilities['{name}']"] = (values, (2, len(suite.attributes[name])))
    for name, (found, wanted) in shapes.items():
        fits = found.ndim == len(wanted) and all(
            w in (None, s) for w, s in zip(wanted, found.shape, strict=True)
        )
        if not fits or found.device.type != "cpu":
            shape = [size or "any" for size in wanted]
            raise Failure(f"{name} returns shape {list(found.shape)}; return {shape} on the CPU")
    for judge in ("target_probability", "segment", "identity", "patch_features"):
        more = (target,) if judge == "target_probability" else ()
        first, again = (getattr(suite, judge)(list(images), *more) for _ in range(2))
        if not torch.equal(first.nan_to_num(), again.nan_to_num()):
            raise Failure(f"{judge}() differs between two calls; draw nothing, or seed what you draw")
    suite.allowed_parts(target), suite.allowed_attributes(target), suite.changes_identity(target)
    tau = shapes["target_probability"][0]
    if not bool(((tau >= 0) & (tau <= 1)).all()):
        raise Failure(f"target_probability returns {tau.tolist()}; return probabilities")
    if len(suite.positives(target, 2, seed=0, size=SIZE)) != 2:
        raise Failure("positives() does not return as many pictures as asked for")


def exports(subject: Subject) -> None:
    """An exporter writes the file or folder of a finished run, and nothing else."""
    assert isinstance(subject.config, ExporterConfig), "of that kind"
    run, folder = trained(subject), subject.folder / "exported"
    folder.mkdir()
    out = folder / ("model" if subject.config.folder else "model.safetensors")
    request = Request(subject.config.name, out, merge="lora" not in subject.config.holds)
    export(run, subject.plugins, request)
    if subject.config.folder != out.is_dir() or not out.exists():
        kind = "folder" if subject.config.folder else "file"
        raise Failure(f"it did not write the {kind} that it was asked for; write run.request.out")
    if out.is_dir() and not any(out.iterdir()):
        raise Failure("the folder that it wrote is empty")


METRICS: tuple[tuple[str, Check], ...] = (
    ("returns a distance for each pair, 0 for equal ones", measures),
    ("judges each pair alone, and repeats itself", judges_each_pair),
)
SCORES: tuple[tuple[str, Check], ...] = (
    ("returns columns with a number for each pair", scores),
    ("repeats itself", scores_alike),
)
SUITES: tuple[tuple[str, Check], ...] = (
    ("writes training data that it recognises", writes_data),
    ("gives different prompts, the same for a seed", asks),
    ("judges every picture in the right shapes", judges),
)
EXPORTERS: tuple[tuple[str, Check], ...] = (("writes what it was asked for", exports),)
