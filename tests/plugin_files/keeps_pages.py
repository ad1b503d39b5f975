"""Keeps a copy of the run's page after each step; from step `SPOIL` on, the page cannot be written."""

import os
import shutil

from spf_core.interfaces import Fit
from spf_core.plugins import hookimpl


@hookimpl
def spf_after_step(fit: Fit) -> None:
    """Copy the page as it is now."""
    page = fit.run / "index.html"
    if page.is_file():
        shutil.copyfile(page, fit.run / f"page-{fit.step}.html")
    if fit.step == int(os.environ.get("SPOIL", "-1")):
        page.unlink()
        page.mkdir()
        (page / "mine.txt").touch()
