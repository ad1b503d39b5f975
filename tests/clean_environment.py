"""A Python environment without the checkout, in which packages are installed as strangers would."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = (ROOT / "docs/examples/spf-edge-loss", ROOT / "docs/examples/spf-otsu-region")
OFFLINE = ("--quiet", "--no-index", "--no-build-isolation", "--disable-pip-version-check")


@dataclass(frozen=True)
class Environment:
    """A virtual environment; its commands run in the folder `place`, which holds nothing of the checkout."""

    folder: Path
    place: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Where packages are installed."""
        return next((self.folder / "lib").glob("python*")) / "site-packages"

    def run(self, *command: object, cwd: Path | None = None) -> str:
        """What a command of the environment prints; it must end well."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))
        }
        done = subprocess.run(
            [str(self.folder / "bin" / str(command[0])), *map(str, command[1:])],
            cwd=cwd or self.place,
            env={**kept, "COLUMNS": "200", "SPF_CACHE": str(self.place / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def spf(self, *arguments: object) -> str:
        """What the installed `spf` prints."""
        return self.run("spf", *arguments)

    def install(self, *words: object) -> None:
        """Install with pip, which refuses a requirement that the environment does not meet; no warning."""
        warned = pip(["--python", self.python, "install", *OFFLINE, *words])
        assert not warned, warned


def clean_environment(folder: Path) -> Environment:
    """An environment with links to all packages of this one, but for spf and packages made for it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (folder / "place").mkdir()
    made = Environment(folder / "venv", folder / "place")
    for source in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for entry in source.iterdir():
            if not entry.name.startswith(("spf", "_spf", "__editable__")) and entry.suffix != ".pth":
                (made.site / entry.name).symlink_to(entry)
    return made


def built(folder: Path, *sources: Path) -> list[Path]:
    """The wheels of packages' folders or of source distributions, in their order."""
    wheels = []
    for number, source in enumerate(sources):
        out = folder / str(number)
        pip(["wheel", "--no-deps", *OFFLINE, "--wheel-dir", out, source])
        wheels += out.glob("*.whl")
    return wheels


def pip(command: list[object]) -> str:
    """Run pip of this environment, and return its warnings."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr
