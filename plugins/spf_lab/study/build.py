"""`spf study build`: a folder with the raters' page, which holds no method's name, and the key beside it."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spf_core.errors import DataError, RunError
from spf_core.utils.atomic import atomic_folder
from spf_lab.study.design import Trial, design
from spf_lab.study.pictures import Album
from spf_lab.study.records import KEY_FILE, PAGE_FOLDER, ExclusionRule, Key, fingerprint
from spf_lab.study.sources import Sources, read_sources

ASSETS = Path(__file__).parent / "assets"
MANIFEST_FILE = "manifest.js"
DWELL_MS = 1000
QUESTION_TEXTS = {
    "original": "Which image keeps more of the original?",
    "target": "Which image shows “{target}” better?",
    "appearance": "Which image looks better?",
}
CONSENT = """\
In this study you compare pictures that computer programs made. The people in them do not exist. You see two
pictures at a time, answer one question about them, and can rest or stop whenever you like.

Taking part is voluntary. Your answers are stored on this device only. Nothing is sent anywhere: at the end
you save a file and hand it over yourself. It holds a random number instead of your name, your answers, and
how long each took. It holds no name, no address and nothing else about you or your device.

You can withdraw at any time, also afterwards; your answers are then deleted and not used."""


def build_study(
    sources: Sequence[str],
    out: Path,
    *,
    methods: Sequence[str] = (),
    forms: int = 20,
    trials: int = 60,
    seed: int = 0,
    exclusion: ExclusionRule | None = None,
    consent: str = CONSENT,
    dwell_ms: int = DWELL_MS,
) -> Key:
    """Write `out`: page/ for the raters and key.json, which stays with the researcher; return the key.

    `sources` and `methods` are those of `read_sources`; each of the `forms` has `trials` scored trials.
    Raises SpfError kinds before anything is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"output folder '{out}' is not empty; choose another with --out or delete it")
    if not consent.strip():
        raise DataError("the consent text is empty; raters must know what they agree to")
    found, rule = read_sources(sources, methods), exclusion or ExclusionRule()
    plan = design(found.scenes, found.methods, forms=forms, trials=trials, seed=seed)
    album = Album(found.scenes, seed)
    manifest: dict[str, Any] = {
        "size": album.size,
        "dwell_ms": dwell_ms,
        "consent": [" ".join(part.split()) for part in consent.split("\n\n") if part.strip()],
        "exclusion": rule.model_dump(),
        "forms": [[_shown(trial, found, album) for trial in form] for form in plan],
    }
    manifest["study"] = fingerprint(manifest)
    key = _key(manifest["study"], found, plan, rule, seed, album)
    with atomic_folder(out) as draft:
        page = draft / PAGE_FOLDER
        shutil.copytree(ASSETS, page)
        album.save(page / "images")
        script = f"const MANIFEST = {json.dumps(manifest)};\n"
        (page / MANIFEST_FILE).write_text(script, encoding="utf-8")
        (draft / KEY_FILE).write_text(key.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return key


def _shown(trial: Trial, found: Sources, album: Album) -> dict[str, Any]:
    """What the page knows of a trial: nothing that tells the methods or the catches."""
    text = QUESTION_TEXTS[trial.question].format(target=found.scenes[trial.scene].target_text)
    shown = {"question": text, "left": album.name(trial.left), "right": album.name(trial.right)}
    return {**shown, "original": album.original(trial.scene)} if trial.question == "original" else shown


def _key(
    study: str,
    found: Sources,
    plan: Sequence[Sequence[Trial]],
    rule: ExclusionRule,
    seed: int,
    album: Album,
) -> Key:
    return Key.model_validate(
        {
            "study": study,
            "suite_label": found.label,
            "seed": seed,
            "methods": found.methods,
            "exclusion": rule,
            "scenes": [
                {name: getattr(scene, name) for name in ("target", "target_text", "base_text", "noise")}
                for scene in found.scenes
            ],
            "forms": [
                [asdict(trial) | {"left": trial.left.by, "right": trial.right.by} for trial in form]
                for form in plan
            ],
            "pictures": album.origins,
        }
    )
