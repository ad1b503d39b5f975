"""Every command of the README, the tutorials and the guides runs, in the order of its page.

The commands run as they are written, with options behind them that make them short (`SHORTER`), on the small
model or on tiny random ones of the published classes. What a page presupposes, such as a finished run, lies
there before (`PRESUPPOSED`). What does not run has its reason (`LEFT_OUT`).
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from command_line import Spf
from stand_in import write_hub, write_photos, write_repository
from walk import ROOT

from spf_core.testing.tiny_models import tiny_pipeline
from spf_core.utils.yaml_text import read_yaml

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("docs/guides/*.md"))
    if re.search(r"^ *\$ ", page.read_text(encoding="utf-8"), re.MULTILINE)
)
WALKED = {  # by tests of their own, in an environment that is installed as the page says
    "docs/tutorials/twenty-photos.md": "tests/walk/test_walk.py",
    "docs/tutorials/first-plugin.md": "tests/cli/test_newcomer.py",
}
LEFT_OUT = {
    "make ": "the targets of the Makefile are what runs this test",
    "python3 -m venv": "test_walk.py installs into an environment of its own",
    "source ": "test_walk.py installs into an environment of its own",
    "pip ": "test_walk.py and test_wheels.py install into environments of their own",
    "docker ": "it needs a container engine and a GPU",
    "torchrun ": "it needs several GPUs; test_distributed.py has two processes on a CPU",
    "accelerate ": "it needs several GPUs; test_sharding.py has two processes on a CPU",
    "spf push": "it uploads to the hub",
    "spf export --check": "it knows the layers of the published models; test_export_check.py has their names",
}
ELSEWHERE = {  # the same command takes a minute, and runs on one page
    "spf benchmark docs/results/portraits.yaml --out docs/results/portraits": "docs/guides/benchmark.md",
}
ANSWERS = {  # what a reader types where the command asks
    "spf data prepare ./photos --interactive": "wearing a hat\n" * 20 + "y\n",
}
BEFORE = {  # what a reader has by then: the votes of people, in whose place are simulated ones
    "spf study analyse study votes/ --against lora": lambda: shutil.copytree("votes-simulated", "votes"),
}
LONG = {"docs/guides/user-study.md": ("evaluate",)}  # a study needs all prompts that the page asks for
SHORT_RUN = ("--steps", "2", "--set", "sample.steps=2", "--set", "train.drawn_texts=1")
FEW = ("--prompts", "2", "--seeds", "1")
SHORTER = {
    "train": (*SHORT_RUN, "--set", "calibration.enabled=false", "--set", "optimizer.learning_rate=0.01"),
    "evaluate": FEW,
    "score": (*FEW, "--set", "sample.steps=2"),
    "sample": ("--steps", "2"),
    "compare": ("--steps", "2", "--seeds", "1"),
    "attention": ("--steps", "2"),
    "calibrate": ("--prompts", "1", "--seeds", "1"),
}


def commands(page: str) -> list[str]:
    """What a reader types, with lines joined where a backslash ends them."""
    text = re.sub(r"\\\n *", "", (ROOT / page).read_text(encoding="utf-8"))
    return re.findall(r"^ *\$ (.*?)(?: +#.*)?$", text, re.MULTILINE)


def left_out(command: str) -> str | None:
    return next((reason for start, reason in LEFT_OUT.items() if command.startswith(start)), None)


# What lies in the reader's folder when a page begins: the name there, and what `World` makes for it.
HAT = {"hat": "hat", "runs/hat": "runs/hat"}
PRESUPPOSED = {
    "README.md": {
        "photos": "photos",
        "runs/other": "runs/other",
        "hat-a.safetensors": "sdxl.safetensors",
        "hat-b.safetensors": "sdxl.safetensors",
        "docs": "docs",
    },
    "docs/tutorials/first-run.md": {
        "runs/other": "runs/other",
        "lora.safetensors": "sd15.safetensors",
        "DIR": "rows",
        "docs": "docs",
        "my_loss.py": "docs/examples/my_loss.py",
        "run.yaml": "run.yaml",
    },
    "docs/guides/benchmark.md": {"docs": "docs", "benchmark": "benchmark", "small.yaml": "small.yaml"},
    "docs/guides/captions.md": {"photos": "photos"},
    "docs/guides/choose-a-preset.md": HAT,
    "docs/guides/control-map.md": HAT,
    "docs/guides/install.md": {},
    "docs/guides/judge-purity.md": HAT,
    "docs/guides/memory.md": {"photos": "photos"},
    "docs/guides/other-programs.md": {
        "runs/hat": "runs/sd15",
        "runs/glasses": "runs/sd15",
        "runs/hat-evaluation": "runs/sd15-evaluation",
    },
    "docs/guides/report.md": {**HAT, "runs/hat-lora": "runs/other", "benchmark": "benchmark"},
    "docs/guides/score-a-lora.md": {
        "photos": "photos",
        "runs/hat": "runs/sdxl",
        **{f"{name}.safetensors": "sdxl.safetensors" for name in ("hat", "hat-a", "hat-b")},
    },
    "docs/guides/several-gpus.md": {},
    "docs/guides/several-targets.md": {"docs": "docs", **HAT, "beard": "beard"},
    "docs/guides/strength.md": {**HAT, "runs/photos": "runs/sdxl"},
    "docs/guides/user-study.md": {
        "runs/spf": "runs/hat",
        "runs/lora": "runs/other",
        "benchmark": "benchmark",
    },
}


class World:
    """What the pages presuppose, made when it is first needed, in a folder of its own."""

    def __init__(self, folder: Path, spf: Spf) -> None:
        self._folder, self._spf = folder, spf

    def place(self, name: str, at: Path) -> None:
        """Copy it to where a page has it."""
        source = self.made(name)
        at.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, at, ignore=shutil.ignore_patterns(".generated"))
        else:
            shutil.copyfile(source, at)

    def made(self, name: str) -> Path:
        """The file or folder of this name."""
        place = self._folder / name
        if not place.exists():
            makers: dict[str, Callable[[Path], object]] = {
                "photos": _photos,
                "docs": _docs,
                "run.yaml": lambda place: place.write_text(_block("docs/tutorials/first-run.md")),
                "small.yaml": lambda place: place.write_text(yaml.safe_dump(BENCHMARK)),
                "rows": self._rows,
                "sdxl.safetensors": lambda place: shutil.copyfile(self._lora("sdxl"), place),
                "sd15.safetensors": lambda place: shutil.copyfile(self._lora("sd15"), place),
                "benchmark": lambda place: self.do("benchmark", self.made("small.yaml"), "--out", place),
                "docs/examples/my_loss.py": lambda place: self.made("docs"),
                "runs/hat": lambda place: self._trained(place, "mini", self.made("hat"), "spf"),
                "runs/other": lambda place: self._trained(place, "mini", self.made("hat"), "lora"),
                "runs/sd15": lambda place: self._trained(place, "sd15", self.made("rows"), "lora"),
                "runs/sdxl": lambda place: self._trained(place, "sdxl", self.made("rows"), "lora"),
                "runs/sd15-evaluation": lambda place: self.do(
                    "evaluate", self.made("runs/sd15"), "--out", place, *FEW
                ),
            }
            makers.get(name, self._portraits)(place)
        return place

    def do(self, *arguments: object) -> None:
        """A command that must succeed."""
        done = self._spf(*arguments)
        assert done.code == 0, (arguments, done.err)

    def _portraits(self, place: Path) -> None:
        bias = "background=teal,clothes=blazer"
        self.do("data", "portraits", "--target", place.name, "--count", 4, "--bias", bias, "--out", place)

    def _rows(self, place: Path) -> None:
        """The photographs with a table of texts."""
        shutil.copytree(self.made("photos"), place)
        self.do("data", "prepare", place, "--trigger", "wearing a hat", "--yes")

    def _trained(self, place: Path, backbone: str, data: Path, preset: str) -> None:
        chosen = ("--backbone", backbone, "--preset", preset, "--data", data, "--out", place)
        self.do("train", *chosen, *SHORTER["train"])

    def _lora(self, name: str) -> Path:
        """The LoRA file that a run writes for other programs."""
        return self.made(f"runs/{name}") / f"{name}.safetensors"


BENCHMARK = {
    "suite": "portraits",
    "backbone": "mini",
    "targets": ["hat"],
    "presets": ["spf", "lora", "naive"],
    "seeds": [0],
    "data": {"count": 4, "bias": {"background": "teal"}},
    "evaluation": {"prompts": 60, "seeds": 1, "keep": 100},
    "steps": 1,
    "set": ["sample.steps=2", "train.drawn_texts=1", "calibration.enabled=false"],
}


def _photos(place: Path) -> None:
    """Every caption has the words of the target."""
    write_photos(place)
    for caption in place.glob("*.txt"):
        text = caption.read_text(encoding="utf-8")
        caption.write_text(text.replace("in a hat", "wearing a hat"), encoding="utf-8")


def _docs(place: Path) -> None:
    """The published results, whose benchmark trains nothing, and a short file of a continual protocol."""
    shutil.copytree(ROOT / "docs" / "results", place / "results")
    shutil.copytree(ROOT / "docs" / "examples", place / "examples")
    file = place / "results" / "continual.yaml"
    settings = [*BENCHMARK["set"], "train.steps=1", "checkpoint.every=1", "sample.every=0"]  # type: ignore[misc]
    short = {"targets": ["sunglasses", "hat", "beard"], "presets": ["lora"], "orders": 3, "set": settings}
    few = {"data": BENCHMARK["data"], "evaluation": {"prompts": 2, "seeds": 1, "targets": "all"}}
    file.write_text(yaml.safe_dump({**dict(read_yaml(file)), **short, **few}), encoding="utf-8")


def _block(page: str) -> str:
    (found,) = re.findall(r"```yaml\n(# run\.yaml.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, spf: Spf) -> Iterator[World]:
    hub = tmp_path_factory.mktemp("hub")
    write_hub(hub)
    write_repository(hub, SD15, tiny_pipeline)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
        yield World(tmp_path_factory.mktemp("world"), spf)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in WALKED])
def test_every_command_of_a_page_runs(
    page: str, world: World, spf: Spf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, name in PRESUPPOSED[page].items():
        world.place(name, tmp_path / at)
    monkeypatch.chdir(tmp_path)
    for command in commands(page):
        if left_out(command) or ELSEWHERE.get(command, page) != page:
            continue
        program, *arguments = shlex.split(command)
        assert program == "spf", f"{page} has '{command}': run it here, or say why it does not run"
        if command in BEFORE:
            BEFORE[command]()
        monkeypatch.setattr("sys.stdin", io.StringIO(ANSWERS.get(command, "n\n")))
        shorter = () if arguments[0] in LONG.get(page, ()) else SHORTER.get(arguments[0], ())
        done = spf(*arguments, *shorter)
        assert done.code == 0, (command, done.err)


def test_a_page_with_commands_runs_somewhere() -> None:
    assert set(PAGES) == {*PRESUPPOSED, *WALKED}
