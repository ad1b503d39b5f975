"""Processor time of `spf --help`, beside that of the libraries that print it."""

import os
import subprocess
import sys

RUNS = 5
LIBRARIES = ("-c", "import pydantic, rich.markdown, typer.rich_utils")


def seconds(*arguments: str) -> float:
    """The least of several runs, user and system."""
    found = []
    for _ in range(RUNS):
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        found.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    return min(found)


if __name__ == "__main__":
    alone, whole = seconds(*LIBRARIES), seconds("-m", "spf_cli", "--help")
    print(
        f"spf --help: {whole:.2f} s; typer, rich and pydantic alone: {alone:.2f} s; ratio {whole / alone:.2f}"
    )
