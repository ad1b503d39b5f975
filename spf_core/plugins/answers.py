"""What the methods of a plugin's component return, checked at every call: a fault names the component.

A suite and a backbone have many methods, whose answers are used far from the call: without a check, a wrong
one would fail in the middle of spf's own code.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakSet

import torch
from PIL.Image import Image
from torch import Tensor

from spf_core import interfaces
from spf_core.errors import PluginError, SpfError, quoted, unknown
from spf_core.plugins.configs import PROTOCOL_OF, Component, label
from spf_core.plugins.constructing import package_of
from spf_core.plugins.containment import reason_of
from spf_core.utils.devices import is_out_of_memory

T = TypeVar("T")
_guarded = WeakSet[type]()  # an object that is built or chosen twice is guarded once
Check = Callable[[Any, Any, Mapping[str, Any]], None]  # of the answer, the component and the call's arguments


def guarded(config: Component | type[Component], part: T) -> T:
    """The component of a plugin, whose methods are now checked; a component of spf's own as it is.

    PluginError of one line names the component for what a method raises, and for what it returns wrongly.
    """
    checks, kind = _CHECKS.get(config.kind, {}), type(part)
    if not config.provided_by or not checks or kind in _guarded:
        return part
    protocol = getattr(interfaces, PROTOCOL_OF[config.kind])
    methods = {
        name: _checked(config, inspect.signature(getattr(protocol, name)), getattr(kind, name), check)
        for name, check in checks.items()
        if inspect.isfunction(getattr(kind, name, None))
    }
    if config.kind == "suite":
        with named(config, "cannot be used"):
            _check_facts(part)
        for name in ("for_target", "with_model"):  # they return suites, too
            if inspect.isfunction(method := getattr(kind, name, None)):
                methods[name] = _also_guarded(config, method)
    # A subclass, as a copy of the object must have the methods, too, and `isinstance` looks at the class.
    with suppress(TypeError):  # of a function, or a class in C, whose objects keep it
        changed = type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **methods})
        object.__setattr__(part, "__class__", changed)
        _guarded.add(changed)
    return part


@contextmanager
def named(config: Component | type[Component], what: str) -> Iterator[None]:
    """PluginError `NAME what: reason` for what a plugin's object raises in the context.

    Ctrl-C, memory that runs out, and faults of spf's own components pass.
    """
    try:
        yield
    except BaseException as error:
        if not config.provided_by or isinstance(error, KeyboardInterrupt) or is_out_of_memory(error):
            raise
        if isinstance(error, SpfError) and config.provided_by in str(error):
            raise
        reason = str(error) if isinstance(error, SpfError) else reason_of(error, package_of(config))
        raise PluginError(f"{label(config)} {what}: {reason}") from error


def _checked(
    config: Component | type[Component],
    signature: inspect.Signature,
    method: Callable[..., Any],
    check: Check,
) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with named(config, f"fails in {method.__name__}()"):
            found = method(self, *args, **kwargs)
            check(found, self, signature.bind(self, *args, **kwargs).arguments)
        return found

    return call


def _also_guarded(config: Component | type[Component], method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with named(config, f"fails in {method.__name__}()"):
            return guarded(config, method(self, *args, **kwargs))

    return call


def _tensor(found: object, shape: Sequence[int | None], what: str, *, kind: str = "floats") -> Tensor:
    """The answer, if it is a tensor of the shape on the CPU; PluginError if not. None fits any size."""
    wanted = f"return {what} as a tensor of {kind}, {[size or 'any' for size in shape]}, on the CPU"
    if not isinstance(found, Tensor):
        raise PluginError(f"it returns {quoted(found)}; {wanted}")
    fits = found.ndim == len(shape) and all(
        size in (None, real) for size, real in zip(shape, found.shape, strict=True)
    )
    right = {
        "floats": found.dtype == torch.float32,
        "whole numbers": not found.dtype.is_floating_point and found.dtype != torch.bool,
        "booleans": found.dtype == torch.bool,
    }
    if not fits or not right[kind] or found.device.type != "cpu":
        type_ = str(found.dtype).removeprefix("torch.")
        raise PluginError(f"it returns {type_} of shape {list(found.shape)} on {found.device}; {wanted}")
    return found


def _probabilities(found: Tensor, what: str) -> None:
    if bool(((found < 0) | (found > 1)).any()):
        raise PluginError(
            f"{what} are from {float(found.min()):.3g} to {float(found.max()):.3g}; return probabilities "
            "in [0, 1]"
        )


def _check_facts(suite: Any) -> None:
    """PluginError for what a suite says of itself, where that is not what the protocol describes."""
    if not isinstance(suite.label, str) or not suite.label:
        raise PluginError(f"its `label` is {quoted(suite.label)}; give the name of its numbers")
    if not isinstance(suite.targets, tuple) or not all(isinstance(each, str) for each in suite.targets):
        raise PluginError(f"its `targets` are {quoted(suite.targets)}; give a tuple of names")
    if not isinstance(suite.attributes, Mapping):
        raise PluginError(
            f"its `attributes` are {quoted(suite.attributes)}; give the values of each by its name"
        )
    if not isinstance(suite.purity, interfaces.PuritySet) or not isinstance(suite.purity.metrics, tuple):
        raise PluginError(
            f"its `purity` is {quoted(suite.purity)}; give a spf_core.interfaces.PuritySet with a tuple of "
            "metrics"
        )


def _target_probability(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    _probabilities(_tensor(found, [len(given["images"])], "N probabilities"), "its probabilities")


def _attribute_probabilities(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    known = dict(suite.attributes)
    if not isinstance(found, Mapping) or found.keys() != known.keys():
        shown = sorted(found) if isinstance(found, Mapping) else found
        raise PluginError(
            f"it returns {quoted(shown)}; return a mapping with the attributes of the suite, "
            f"{', '.join(map(str, known))}"
        )
    for name, values in known.items():
        probabilities = _tensor(found[name], [len(given["images"]), len(values)], f"those of '{name}'")
        _probabilities(probabilities, f"those of '{name}'")
        sums = probabilities.sum(1)
        if not torch.allclose(sums.nan_to_num(1), torch.ones_like(sums), atol=1e-2):
            raise PluginError(f"those of '{name}' add up to {sums.tolist()[:3]}; let them add up to 1")


def _segment(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    # A parser has a resolution of its own, which need not be that of the pictures.
    _tensor(found, [len(given["images"]), None, None], "the parts of each position", kind="whole numbers")


def _identity(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    lengths = _tensor(found, [len(given["images"]), None], "embeddings").norm(dim=1)
    lengths = lengths.where(lengths > 0, 1.0).nan_to_num(1)  # 0 and NaN: it knows nobody in the picture
    if not torch.allclose(lengths, torch.ones_like(lengths), atol=1e-3):
        raise PluginError(f"its embeddings have lengths {lengths.tolist()[:3]}; divide each by its length")


def _patch_features(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    _tensor(found, [len(given["images"]), None, None, None], "features of patches")


def _region(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, interfaces.Region):
        raise PluginError(f"it returns {quoted(found)}; return a spf_core.interfaces.Region")
    for name in ("outside_NHW", "layout_NHW"):
        _tensor(getattr(found, name), [len(given["a"]), None, None], name, kind="booleans")


def _allowed_parts(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, AbstractSet) or not all(isinstance(part, int) for part in found):
        raise PluginError(f"it returns {quoted(found)}; return a frozenset of part numbers")


def _allowed_attributes(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, AbstractSet) or found - set(suite.attributes):
        raise PluginError(
            f"it returns {quoted(found)}; return a frozenset of names among {', '.join(suite.attributes)}"
        )


def _changes_identity(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, bool):
        raise PluginError(f"it returns {quoted(found)}; return True or False")


def _recognise(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if found is not None and not isinstance(found, interfaces.TrainingFacts):
        raise PluginError(f"it returns {quoted(found)}; return spf_core.interfaces.TrainingFacts, or None")


def _prompts(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, list) or not all(isinstance(each, interfaces.UnseenPrompt) for each in found):
        raise PluginError(f"it returns {quoted(found)}; return a list of spf_core.interfaces.UnseenPrompt")
    for each in found:
        for attribute, value in each.mentioned.items():
            if value not in suite.attributes.get(attribute, ()):
                raise PluginError(
                    f"a prompt mentions {quoted(attribute)}={quoted(value)}, which `attributes` of the suite "
                    "lacks; name its attributes and their values"
                )


def _positives(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(found, list) or not all(isinstance(each, Image) for each in found):
        raise PluginError(f"it returns {quoted(found)}; return a list of pictures of PIL")


def _write_training_set(found: object, suite: Any, given: Mapping[str, Any]) -> None:
    table = given["out"] / "metadata.jsonl"
    if not table.is_file():
        raise PluginError("it writes no metadata.jsonl; write one with a line for each image")
    rows = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(rows) != given["count"]:
        raise PluginError(
            f"it writes {len(rows)} rows, and {given['count']} were asked for; write one for each"
        )


def refuse_unknown_facts(suite: Any, target: str, bias: Mapping[str, str]) -> None:
    """ConfigError for a target, an attribute or a value that the suite does not have."""
    if target not in suite.targets and not isinstance(suite, interfaces.AnyTarget):
        raise unknown("target", target, suite.targets)
    for attribute, value in bias.items():
        if attribute not in suite.attributes:
            raise unknown("attribute", attribute, suite.attributes)
        if value not in suite.attributes[attribute]:
            raise unknown(f"value of '{attribute}'", value, suite.attributes[attribute])


def _encode_prompts(found: object, backbone: Any, given: Mapping[str, Any]) -> None:
    rows = len(given["prompts"])
    if not isinstance(found, interfaces.Conditioning):
        raise PluginError(f"it returns {quoted(found)}; return a spf_core.interfaces.Conditioning")
    for name, tensor in vars(found).items():
        if not isinstance(tensor, Tensor) or len(tensor) != rows:
            shape = list(tensor.shape) if isinstance(tensor, Tensor) else quoted(tensor)
            raise PluginError(f"{name} is {shape} for {rows} prompts; give a row for each")


def _rows_of(argument: str, dimensions: int, what: str) -> Check:
    """The check that a tensor has a row for each item of the argument, and as many dimensions."""

    def check(found: object, backbone: Any, given: Mapping[str, Any]) -> None:
        rows = len(given[argument])
        if not isinstance(found, Tensor) or found.ndim != dimensions or len(found) != rows:
            shape = list(found.shape) if isinstance(found, Tensor) else quoted(found)
            raise PluginError(f"it returns {shape} for {rows} of `{argument}`; return {what}")

    return check


_CHECKS: Mapping[str, Mapping[str, Check]] = {
    "suite": {
        "write_training_set": _write_training_set,
        "recognise": _recognise,
        "prompts": _prompts,
        "positives": _positives,
        "target_probability": _target_probability,
        "attribute_probabilities": _attribute_probabilities,
        "segment": _segment,
        "identity": _identity,
        "patch_features": _patch_features,
        "region": _region,
        "allowed_parts": _allowed_parts,
        "allowed_attributes": _allowed_attributes,
        "changes_identity": _changes_identity,
    },
    "backbone": {
        "encode_prompts": _encode_prompts,
        "encode_images": _rows_of("images_B3HW", 4, "latents, B C H W"),
        "decode": _rows_of("latents_BCHW", 4, "pixels, B 3 H W"),
        "embed_images": _rows_of("images_B3HW", 2, "embeddings, B D"),
        "embed_texts": _rows_of("texts", 2, "embeddings, B D"),
    },
    "prompt-editor": {"__call__": _rows_of("texts", 3, "embeddings, B L D, as encode_prompts does")},
}
