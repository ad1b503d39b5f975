"""Sound input of every kind that a command reads, made once, and the commands that read it."""

import json
import shlex
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from fuzzing.calls import call
from PIL import Image
from studies import write_evaluations

from spf_lab.benchmark.archive import write_archive

ROOT = Path(__file__).parents[2]
HAT = ("--trigger", "wearing a hat")
CAPTIONED = (
    "an old man, wearing a hat",
    "a young woman with red hair, wearing a hat",
    "a man, park, wearing a hat",
)
PLUGIN = Path(__file__).with_name("pull.py")
COMMANDS = """
config show --preset lora --backbone mini --plugin sfcm-v1 --set train.steps=2
data check {in} --trigger 'wearing a hat' --set dataset.crop=random
data prepare {in} --trigger 'wearing a hat' --target hat --all --yes
data prepare {in} --phrase '(hat|cap)s?' --yes
data portraits --target hat --count 1 --bias background=teal --seed 1 --size 32 --out {out}
plugins show spf
train --data {in}/gone --steps 1 --seed 1 --start-from {in}/gone --out {out}
train --resume --out {in}/gone --steps 3
sample {in}/gone --prompt man --seeds 1 --first-seed 3 --strength 0.5,1 --guidance 2 --out {out}
evaluate {in}/gone --prompts 1 --seeds 1 --strengths 0,1 --score clip-i --out {out}
calibrate {in}/gone --strengths 0.5,1 --by response --keep 0.9
export {in}/gone --format diffusers --precision fp16 --strength 0.5 --out {out}
push {in}/gone me/hat --yes
report {in}/gone --prompt man --target hat --out {out}
attention {in}/gone --prompt man --token man --columns 2 --handover 0.5 --out {out}
maps {in}/gone --map sfcm-v1 --seed 0 --out {out}
convert-weights lpips {in}/gone --base {in} --out {out}
benchmark {in}/gone.yaml --only hat/spf --out {out}
continual {in}/gone.yaml --only spf/order-0 --out {out}
study build a={in}/gone {in} --method a --raters 2 --trials 3 --out {out}
study analyse {in} {in} --against lora --out {out}
study simulate {in} --strength spf=1 --side-bias 0.1 --out {out}
doctor --backbone mini --set backbone.path={in} --out {in}
"""

Command = tuple[str, ...]


@dataclass(frozen=True)
class Specimen:
    """A folder of sound input, and the commands that read it; in them {in} is its copy, {out} a new place.

    `damaged` are patterns of the files in it that are damaged, `written` of those that a command may write.
    `share` is how often it is chosen beside the others.
    """

    name: str
    folder: Path
    damaged: tuple[str, ...]
    commands: tuple[Command, ...]
    share: float
    written: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset({0, 2})
    arguments: bool = False  # whether the arguments are damaged rather than the files
    assignments: tuple[str, ...] = ()  # keys of `--set`, where such an argument is added


def cheap_specimens(home: Path) -> list[Specimen]:
    """What is read without a model."""
    return [
        *_data(home),
        *_settings(home),
        _plugin(home),
        *_study(home),
        *_benchmarks(home),
        _arguments(home),
    ]


def _data(home: Path) -> Iterator[Specimen]:
    check: Command = ("data", "check", "{in}")
    captions = pictures(home / "captions")
    for number, text in enumerate(CAPTIONED):
        (captions / f"{number}.txt").write_text(text, encoding="utf-8")
    prepare: Command = ("data", "prepare", "{in}", "--yes")
    by_phrase = (*prepare, "--phrase", r"\bhats?\b")
    written = ("metadata.jsonl",)
    commands = ((*check, *HAT), (*check, *HAT, "--json"), (*prepare, *HAT), by_phrase)
    yield Specimen("captions", captions, ("*",), commands, 8, written)

    kohya = home / "kohya"
    inner = pictures(kohya / "3_person wearing a hat")
    shutil.copy(inner / "0.png", inner / "0-masklabel.png")
    (inner / "1.caption").write_text("a young woman, wearing a hat", encoding="utf-8")
    yield Specimen("kohya's folders", kohya, ("*", "*/*"), commands, 5, written)

    rows = [
        {
            "file_name": f"{number}.png",
            "base_text": "an old man with red hair",
            "target_text": "wearing a hat",
        }
        for number in range(3)
    ]
    rows[0] |= {"mask": "2.png", "repeats": 2, "base_phrases": ["red hair"]}  # type: ignore[dict-item]
    rows[1] |= {"replaces": "red hair"}
    table = pictures(home / "jsonl")
    (table / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    renamed = (
        *check,
        "--set",
        "dataset.columns.base_text=target_text",
        "--set",
        "dataset.columns.target_text=base_text",
    )
    yield Specimen(
        "metadata.jsonl",
        table,
        ("metadata.jsonl",) * 4 + ("*.png",),
        (check, (*check, "--json"), renamed),
        12,
    )

    csv = pictures(home / "csv")
    lines = [f"{number}.png,an old man,wearing a hat,{number + 1}" for number in range(3)]
    text = "\n".join(("file_name,base_text,target_text,repeats", *lines))
    (csv / "metadata.csv").write_text(text, encoding="utf-8")
    yield Specimen("metadata.csv", csv, ("metadata.csv",), (check,), 8)

    unsplit = pictures(home / "unsplit")
    told = [{"file_name": f"{number}.png", "text": text} for number, text in enumerate(CAPTIONED)]
    (unsplit / "metadata.jsonl").write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    yield Specimen("a column of captions", unsplit, ("metadata.jsonl",), commands, 5, written)


def _settings(home: Path) -> Iterator[Specimen]:
    folder = home / "settings"
    folder.mkdir(parents=True)
    shown = call("config", "show", "--preset", "spf").out
    settings = yaml.safe_load(shown)
    (folder / "run.yaml").write_text(shown, encoding="utf-8")
    show: Command = ("config", "show")
    yield Specimen("a configuration", folder, ("run.yaml",), ((*show, "--config", "{in}/run.yaml"),), 14)
    keys = tuple(_keys(settings))
    yield Specimen("--set", folder, (), (show, (*show, "--preset", "lora")), 14, assignments=keys)
    own = ("dataset.columns.image", *(key for key in keys if key.startswith("dataset.")))
    table = home / "jsonl"
    yield Specimen("--set of data check", table, (), (("data", "check", "{in}"),), 4, assignments=own)


def _plugin(home: Path) -> Specimen:
    folder = home / "plugin"
    folder.mkdir(parents=True)
    shutil.copy(PLUGIN, folder)
    (folder / "run.yaml").write_text(
        "preset: lora\nplugins: [pull.py]\nlosses:\n  pull: {strength: 1}\n", encoding="utf-8"
    )
    file = ("--plugin", "{in}/pull.py")
    commands = (
        ("plugins", "list", *file),
        ("plugins", "show", "pull", *file),
        ("config", "show", *file),
        ("config", "schema", *file),
        ("config", "show", "--config", "{in}/run.yaml", *file),
    )
    return Specimen("a plugin file", folder, ("pull.py", "pull.py", "run.yaml"), commands, 8)


def _study(home: Path) -> Iterator[Specimen]:
    sources = home / "sources"
    write_evaluations(sources, scenes=3)
    build: Command = ("study", "build", "{in}/spf", "{in}/lora", "{in}/naive", "--out", "{out}")
    build += ("--raters", "2", "--trials", "6")
    said = ("*/results.json", "*/pairs.jsonl", "*/pairs.jsonl", "*/images/*")
    yield Specimen("pictures of a study", sources, said, (build,), 4)

    study = home / "study"
    shutil.rmtree(home / "kept", ignore_errors=True)
    write_evaluations(home / "kept", scenes=40)
    compared = (str(home / "kept" / name) for name in ("spf", "lora"))
    size = ("--raters", "2", "--trials", "12", "--max-wrong", "0.9")
    done("study", "build", *compared, "--out", str(study), *size)
    shutil.rmtree(study / "page" / "images", ignore_errors=True)
    done("study", "simulate", str(study), "--out", str(study / "votes"), "--raters", "3")
    analyse = ("study", "analyse", "{in}", "{in}/votes", "--out", "{out}")
    simulate = ("study", "simulate", "{in}", "--out", "{out}", "--raters", "1")
    yield Specimen("votes", study, ("key.json", "votes/*"), (analyse, analyse, simulate), 4)


def _benchmarks(home: Path) -> Iterator[Specimen]:
    published, folder = ROOT / "docs" / "results", home / "benchmark"
    _unpack(published / "portraits" / "cells" / "hat.tar.xz", folder / "bench" / "cells")
    spec = yaml.safe_load((published / "portraits.yaml").read_text(encoding="utf-8"))
    spec |= {"targets": ["hat"], "seeds": [0], "presets": ["spf", {"preset": "lora", "family": "lora"}]}
    del spec["target_set"]
    for file in ("bench.yaml", "bench/benchmark.yaml"):
        (folder / file).write_text(yaml.safe_dump(spec), encoding="utf-8")
    again: Command = ("benchmark", "{in}/bench.yaml", "--out", "{out}", "--report-only")
    nothing: Command = ("benchmark", "{in}/bench.yaml", "--out", "{out}", "--only", "none/none")
    yield Specimen("a benchmark's file", folder, ("bench.yaml",), (again, nothing), 8)
    made: Command = ("benchmark", "{in}/bench.yaml", "--out", "{in}/bench", "--report-only")
    commands = (made, ("report", "{in}/bench", "--out", "{out}"))
    stated = ("bench/benchmark.yaml", "bench/cells/*/*/*/*.json", "bench/cells/*/*/*/*.webp")
    yield Specimen("a benchmark's folder", folder, stated, commands, 1.5, ("bench/*",))

    packed, loose = home / "packed", folder / "bench" / "cells"
    shutil.copytree(folder, packed, ignore=shutil.ignore_patterns("cells"))
    files = {file.relative_to(loose).as_posix(): file.read_bytes() for file in loose.rglob("*.*")}
    write_archive(packed / "bench", "hat", files)
    yield Specimen("a benchmark's archive", packed, ("bench/cells/*.xz",), commands, 1.5, ("bench/*",))

    shutil.copytree(published / "continual", home / "continual" / "made")
    shutil.copy(published / "continual.yaml", home / "continual")
    command: Command = ("continual", "{in}/continual.yaml", "--out", "{in}/made")
    commands = ((*command, "--report-only"), (*command, "--only", "none/order-99"))
    yield Specimen(
        "a continual file", home / "continual", ("continual.yaml", "made/*.yaml"), commands, 5, ("made/*",)
    )


def _unpack(archive: Path, folder: Path) -> None:
    cells = ("hat/spf/seed-0/", "hat/lora/seed-0/")
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.name.startswith(cells)]
        for member in members:  # Python 3.11 before .4 has no filter of what is unpacked
            content = tar.extractfile(member)
            if content is not None:
                (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
                (folder / member.name).write_bytes(content.read())


def _arguments(home: Path) -> Specimen:
    """Commands that end soon whatever happens: sound but for the damage, or naming what is not there."""
    commands = tuple(tuple(shlex.split(line)) for line in COMMANDS.strip().splitlines())
    folder, codes = home / "unsplit", frozenset({0, 1, 2})
    return Specimen("arguments", folder, (), commands, 20, ("metadata.jsonl",), codes, arguments=True)


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (40, 32), (60 * number, 90, 120)).save(folder / f"{number}.png")
    return folder


def _keys(settings: object, above: str = "") -> Iterator[str]:
    for key, value in settings.items() if isinstance(settings, dict) else ():
        yield f"{above}{key}"
        yield from _keys(value, f"{above}{key}.")


def done(*arguments: str) -> None:
    ended = call(*arguments)
    assert ended.code == 0, ended
