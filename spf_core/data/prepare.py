"""Captions of a folder, split into base and target texts, before anything is written."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data.captions import Texts, split_by_trigger
from spf_core.data.phrases import compile_phrase, split_by_phrase
from spf_core.data.row import Caption
from spf_core.data.source import captions_of
from spf_core.data.subjects import loses_subject
from spf_core.data.tables import JSONL
from spf_core.errors import ConfigError, DataError, short
from spf_core.plugins.configs import DataReaderConfig, label
from spf_core.plugins.readers import installed_readers, reader_for
from spf_core.utils.atomic import atomic_write_text

Rule = Callable[[Caption], Texts]


@dataclass(frozen=True)
class Split:
    """A caption with the texts it becomes."""

    caption: Caption
    texts: Texts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should look at before the row is written."""
        if not loses_subject(self.caption.text, self.texts.base):
            return self.texts.warnings
        return (*self.texts.warnings, f"the base text '{short(self.texts.base)}' has lost its subject")


@dataclass(frozen=True)
class Plan:
    """What would be written, and what cannot be: the caption's file with the reason."""

    splits: Sequence[Split]
    left: Sequence[tuple[str, str]]


def find_captions(
    folder: Path, options: DatasetSection, reader: DataReaderConfig | None = None
) -> tuple[list[Caption], list[tuple[str, str]]]:
    """The folder's captions, and the files without one, with the reason.

    The chosen reader reads them, or else the first that recognises the folder and whose layout has captions.
    DataError when the folder holds none, or is prepared already.
    """
    if not folder.is_dir():
        raise DataError(f"data folder '{folder}' does not exist; give a folder of images")
    found, faults = list[Caption](), list[tuple[str, str]]()
    for place, read in captions_of(str(folder), options, reader):
        try:
            found.append(read())
        except DataError as error:
            faults.append((place, str(error)))
    if not found and not faults:
        chosen = reader or reader_for(str(folder), installed_readers())
        if chosen and chosen.provided_by:
            raise DataError(
                f"{label(chosen)} finds no captions in '{folder}'; choose another with --set reader=NAME"
            )
        raise DataError(f"'{folder}' has no captions; write NAME.txt beside each image")
    return found, faults


def make_plan(captions: Sequence[Caption], faults: Sequence[tuple[str, str]], rule: Rule) -> Plan:
    """Split every caption by the rule; those that it raises DataError for are left."""
    splits, left = list[Split](), list(faults)
    for caption in captions:
        try:
            splits.append(Split(caption, rule(caption)))
        except DataError as error:
            left.append((caption.file_name, str(error)))
    return Plan(splits, left)


def write_plan(folder: Path, plan: Plan) -> Path:
    """Write metadata.jsonl, whole or not at all; images and caption files stay as they are."""
    rows = (
        {
            "file_name": split.caption.file_name,
            "base_text": split.texts.base,
            "target_text": split.texts.target,
            **split.caption.values,
        }
        for split in plan.splits
    )
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    # Half a character in a column that is kept as it is becomes JSON's escape for it.
    atomic_write_text(folder / JSONL, lines.encode("utf-8", "backslashreplace").decode())
    return folder / JSONL


def trigger_rule(triggers: Sequence[str]) -> Rule:
    """Split by the first of the triggers that a caption holds."""

    def split(caption: Caption) -> Texts:
        for trigger in triggers[:-1]:
            try:
                return split_by_trigger(caption.text, trigger)
            except DataError:
                continue
        return split_by_trigger(caption.text, triggers[-1])

    return split


def phrase_rule(pattern: str) -> Rule:
    """Split off the noun phrases in which the regular expression is found; ConfigError when it is none.

    The rule raises ConfigError when the expression runs away on a caption.
    """
    compiled = compile_phrase(pattern)

    def split(caption: Caption) -> Texts:
        try:
            return split_by_phrase(caption.text, compiled)
        except (TimeoutError, MemoryError):  # the second where it calls itself without end
            raise ConfigError(
                f"--phrase {short(pattern)}: takes too long on the caption of {caption.file_name}; write it "
                "without a repetition inside a repetition, as in a+ for (a+)+"
            ) from None

    return split
