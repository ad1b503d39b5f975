"""The notebooks run from the first cell to the last, and what they show was shown by such a run."""

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
NAMES = ("first-run", "three-presets")
SHORT = "PHOTOS, STEPS, PROMPTS = 3, 2, 2"


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any, kind: str) -> list[str]:
    """What the cells showed of one MIME type."""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in shown if kind in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_to_its_end_and_shows_pictures_and_scores(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = read(name)
    (numbers,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    numbers.source = numbers.source.replace("PHOTOS, STEPS, PROMPTS = 60, 250, 20", SHORT)
    assert SHORT in numbers.source
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert outputs(notebook, "image/png")
    tables = outputs(notebook, "text/html")
    assert any("sps" in table and "95 % intervals" in table for table in tables)
    assert any("<progress" in table and "training" in table for table in tables)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_published_with_what_its_cells_showed(name: str) -> None:
    notebook = read(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert outputs(notebook, "image/png")
    assert str(Path.home()) not in str(notebook)


def test_a_mistake_shows_one_line_and_no_traceback(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import spf\nspf.open_run('nowhere')")]
    )
    client = NotebookClient(
        notebook, timeout=1200, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    (error,) = notebook.cells[0].outputs
    assert error.ename == "RunError"
    assert len(error.traceback) == 1
    assert error.traceback[0].startswith("RunError: 'nowhere' is not a run folder")
