"""The files of a study: the key that stays with the researcher, and what raters export."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from spf_core.config.sections import Section
from spf_core.errors import RunError
from spf_core.utils.json_text import NotJsonError, read_json
from spf_core.utils.validation import Text, explain
from spf_lab.study.design import Answer, Question

KEY_FILE, PAGE_FOLDER = "key.json", "page"
SIMULATED = "SIMULATED, not a result"


class ExclusionRule(Section):
    """When a rater's votes are left out; written into the page before anyone votes."""

    least: int = Field(4, ge=1, description="catch trials, or repeats, that a rater is judged by at least")
    max_wrong: float = Field(0.25, ge=0, le=1, description="largest share of catch trials answered wrongly")
    min_consistency: float = Field(
        0.6, ge=0, le=1, description="smallest share of repeats that do not contradict the first answer"
    )


class KeyTrial(Section):
    """What a trial of a form compares."""

    question: Question = Field(description="what was asked")
    scene: int = Field(ge=0, description="index into `scenes`")
    left: str = Field(description="method, or (original), or (corrupted)")
    right: str = Field(description="the same for the right side")
    expected: Answer | None = Field(None, description="the right answer of a catch trial")
    repeats: int | None = Field(None, ge=0, description="the trial that this one repeats with sides swapped")

    @property
    def scored(self) -> bool:
        """Whether the answer says something about methods: neither a catch nor a repeat."""
        return self.expected is None and self.repeats is None


class KeyScene(Section):
    """A prompt with its noise."""

    target: str = Field(description="name of the target")
    target_text: Text = Field(description="target text as shown")
    base_text: Text = Field(description="the original's text")
    noise: int = Field(description="noise seed")


class Key(Section):
    """What the raters' page does not say: which picture is whose."""

    format: Literal["spf-study-key-1"] = Field("spf-study-key-1", description="kind of file")
    study: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the page's manifest")
    suite_label: str = Field(description="world of the pictures")
    seed: int = Field(description="seed of forms, order and sides")
    methods: tuple[str, ...] = Field(min_length=2, description="what is compared")
    exclusion: ExclusionRule = Field(description="as in the page's manifest")
    scenes: tuple[KeyScene, ...] = Field(description="prompts with their noise")
    forms: tuple[tuple[KeyTrial, ...], ...] = Field(description="trials of each form, as in the manifest")
    pictures: dict[str, str] = Field(description="where each picture of the page comes from")


class Vote(Section):
    """One answer."""

    trial: int = Field(ge=0, description="index into the form")
    answer: Answer = Field(description="the chosen side")
    ms: int = Field(ge=0, description="milliseconds for which the pictures were looked at")


class Export(Section):
    """A rater's file."""

    format: Literal["spf-study-votes-1"] = Field("spf-study-votes-1", description="kind of file")
    study: str = Field(description="which study it belongs to")
    rater: str = Field(pattern="^[0-9a-f]{16}$", description="random name of the rater")
    form: int = Field(ge=0, description="which form was shown")
    simulated: bool = Field(False, description="no person answered")
    withdrawn: bool = Field(False, description="the rater took the answers back")
    votes: tuple[Vote, ...] = Field((), description="answers in order")


Record = TypeVar("Record", bound=Section)


def read_key(study: Path) -> Key:
    """The key of a study's folder; RunError when there is none or it is damaged."""
    if not (study / KEY_FILE).is_file():
        raise RunError(f"'{study}' is not a study's folder: it has no {KEY_FILE}; spf study build makes one")
    return read_record(study / KEY_FILE, Key)


def read_record(file: Path, model: type[Record]) -> Record:
    """Read a JSON file; RunError names the file and what is wrong with it."""
    try:
        content = read_json(file)
    except FileNotFoundError:
        raise RunError(f"'{file}' does not exist; give a file that does") from None
    except NotJsonError as error:
        raise RunError(f"'{file}' is damaged or no JSON ({error}); ask for it again") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RunError(f"'{file}': {explain(error, '', model)}") from None


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
