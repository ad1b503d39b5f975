"""What a FILE of `spf score` is, before any model is loaded: a run, a LoRA, or a whole model. Torch-light."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from spf_core.errors import ConfigError, RunError, SpfError, quoted, short
from spf_core.export.facts import CONFIG, TARGETS
from spf_core.interfaces import Suite
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE, read_header
from spf_core.runs.run import HANDOVER
from spf_core.runs.saved_config import CONFIG_FILE
from spf_core.utils.yaml_text import parse_yaml

Kind = Literal["run", "lora-file", "weights-file"]  # the latter two are adapters
GET_AGAIN = "get the file from its source again"
_WHOLE = ("model.diffusion_model.", "first_stage_model.")
_USUAL = ("pytorch_lora_weights", "adapter_model")  # what diffusers and PEFT call every file
_RESERVED = ("score.json", "report.html")


@dataclass(frozen=True)
class Source:
    """A file or folder of weights; `metadata` is what a safetensors file says of itself.

    `fault` says why it cannot be read at all.
    """

    path: Path
    kind: Kind
    sha256: str
    metadata: Mapping[str, str]
    fault: SpfError | None = None

    @property
    def targets(self) -> list[str]:
        """Target texts that spf wrote into the file; none in other files. RunError for damaged ones."""
        try:
            return TypeAdapter(list[str]).validate_json(self.metadata.get(TARGETS, "[]"))
        except ValidationError:
            raise RunError(
                f"'{self.path}' names {TARGETS}={quoted(self.metadata[TARGETS])}, which spf never writes; "
                f"{GET_AGAIN}, or give --target"
            ) from None

    @property
    def handover(self) -> float | None:
        """The handover that spf wrote into the file; None in other files. RunError for an impossible one."""
        said = self.metadata.get(HANDOVER)
        try:
            number = None if said is None else float(said)
        except ValueError:
            number = -1.0
        if number is None or 0 < number <= 1:
            return number
        raise RunError(
            f"'{self.path}' names {HANDOVER}={quoted(said)}, which is no fraction of the schedule; "
            f"{GET_AGAIN}, or give --handover"
        )

    @property
    def negative(self) -> str | None:
        """What guidance leads away from, as spf wrote it into the file; None in other files."""
        try:
            negative = parse_yaml(self.metadata.get(CONFIG, ""))["sample"]["negative"]
        except (ValueError, TypeError, KeyError):
            return None
        return negative if negative in ("empty", "target") else None


def examine(path: Path) -> Source:
    """What stands there; RunError when it is missing, damaged or of a format that is never read."""
    if (path / CONFIG_FILE).is_file():
        weights = path / ADAPTER_FILE
        said = read_header(weights, GET_AGAIN)[1] if weights.is_file() else {}
        return Source(path, "run", _digest([weights]), said)
    if path.is_dir():
        for stem in _USUAL:
            if (file := path / f"{stem}.safetensors").is_file():
                return examine(file)
        parts = sorted(path.glob("*/*.safetensors"))
        if not parts:
            raise RunError(
                f"'{path}' is not a run folder ({CONFIG_FILE}), a LoRA ({_USUAL[0]}.safetensors) or a "
                "model in diffusers' layout (unet/); name one of these, or a .safetensors file"
            )
        return Source(path, "weights-file", _digest(parts), _facts(path / "spf.json"))
    names, metadata = read_header(path, GET_AGAIN)
    whole = any(name.startswith(_WHOLE) for name in names)
    return Source(path, "weights-file" if whole else "lora-file", _digest([path]), metadata)


def examine_all(paths: Iterable[Path]) -> list[Source]:
    """Every path examined, with the `fault` of those that cannot be read."""
    found = []
    for path in paths:
        try:
            source = examine(path)
            _ = source.targets, source.handover  # damaged metadata is a fault of the file
        except SpfError as error:
            source = Source(path, "lora-file", "", {}, error)
        found.append(source)
    return found


def unique_names(paths: Iterable[Path]) -> list[str]:
    """Stems of the files, with a number behind those that were there before.

    A file of the name that diffusers or PEFT gives every file is called as its folder.
    """
    found: list[str] = []
    for path in paths:
        whole = path.resolve()
        stem = whole.name if whole.is_dir() else whole.stem
        stem = (whole.parent.name if stem in _USUAL else stem).lstrip(".") or "file"
        tries = (stem if number == 1 else f"{stem}-{number}" for number in range(1, len(found) + 3))
        found.append(next(name for name in tries if name not in found and name not in _RESERVED))
    return found


class Judged(NamedTuple):
    """The target as the suite calls it, and its words in prompts; None for the suite's own words."""

    target: str
    text: str | None


def target_of(
    sources: Iterable[Source], plugins: Plugins, *, suite: str | None, target: str | None, backbone: str
) -> Judged:
    """What to judge: the given target, or the one that the files name. It may be a text or a suite's name.

    ConfigError when no target is given, and the files name none, or several.
    """
    said = list(dict.fromkeys(name for source in sources for name in source.targets[:1]))
    if target is None and not said:
        raise ConfigError(
            "the files do not say what they were trained on; name it as in --target 'wearing a hat'"
        )
    if target is None and len(said) > 1:
        shown = ", ".join(f"'{short(each)}'" for each in said)
        raise ConfigError(f"the files name several targets ({shown}); choose what to judge with --target")
    phrases = _phrases(plugins, suite, backbone)
    if target is None:
        return Judged(_name_in(said[0], phrases) or said[0], said[0])
    if target in phrases:
        of_target = [text for text in said if _name_in(text, phrases) == target]
        return Judged(target, of_target[0] if len(of_target) == 1 else None)
    return Judged(_name_in(target, phrases) or target, target)


def _phrases(plugins: Plugins, suite: str | None, backbone: str) -> dict[str, str | None]:
    """The usual words of every named target of the suites that may judge pictures of the backbone."""
    found: dict[str, str | None] = {}
    for name, entry in plugins.of_kind("suite").items():
        drawn = entry.config.backbones  # type: ignore[attr-defined]
        if suite in (None, name) and (not drawn or backbone in drawn):
            judge: Suite = built(entry.config)
            for target in judge.targets:
                (first,) = judge.prompts(target, 1, seed=0, split="dev")
                found.setdefault(target, first.prompt.target_text)
    return found


def _name_in(text: str, phrases: Mapping[str, str | None]) -> str | None:
    """The named target that the text asks for: by its usual words, or by its name in the text."""
    for target, phrase in phrases.items():
        if text == phrase:
            return target
    said = f" {' '.join(text.lower().replace(',', ' ').split())} "
    named = [target for target in phrases if f" {target.replace('-', ' ')} " in said]
    return max(named, key=len, default=None)


def _facts(file: Path) -> dict[str, str]:
    """What `spf export` writes beside a folder's parts; nothing where it is absent or something else."""
    try:
        said = json.loads(file.read_bytes()[: 2**20])
    except (OSError, ValueError, RecursionError):
        return {}
    return (
        {name: each for name, each in said.items() if isinstance(each, str)} if isinstance(said, dict) else {}
    )


def _digest(files: Iterable[Path]) -> str:
    """SHA-256 of a file, or of the names and hashes of several; of none, that of nothing."""
    found = []
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                found.append((file.parent.name, file.name, hashlib.file_digest(stream, "sha256").hexdigest()))
    if len(found) == 1:
        return found[0][2]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
