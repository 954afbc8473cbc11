"""The notebooks run, and what they hold is what they print: the asserts in them compare hand and library."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import PROJECT

FOLDER = PROJECT / "notebooks"
ALL = sorted(FOLDER.glob("*.ipynb"))
SLOW = ("04_train_your_own", "05_explain_and_fix")
LARGEST = 300_000  # bytes of a notebook with its outputs


def run(paths, monkeypatch):
    """Copies of the notebooks, executed: in one kernel, as each import of torch takes seconds."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for commands
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    cells = []
    for notebook in notebooks:
        fresh = nbformat.v4.new_code_cell("%reset -f")  # no notebook uses what another one defined
        cells += [fresh, *notebook.cells]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # unique
    whole = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(whole, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return notebooks


def texts(notebook):
    """What each code cell prints, with every number as #: the last digits differ between machines."""
    printed = [
        "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs
                if "image/png" not in output.get("data", {}))
        for cell in notebook.cells if cell.cell_type == "code"
    ]  # fmt: skip
    return [re.sub(r"[-+]?\d[\d.e+-]*", "#", re.sub(r" +", " ", text)) for text in printed]


def test_the_quick_notebooks_run_and_print_what_they_hold(monkeypatch):
    quick = [path for path in ALL if path.stem not in SLOW]
    for path, notebook in zip(quick, run(quick, monkeypatch), strict=True):
        assert texts(notebook) == texts(nbformat.read(path, as_version=4)), f"{path.name}: make notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in ALL if path.stem in SLOW], ids=lambda path: path.stem)
def test_a_slow_notebook_runs(path, monkeypatch):
    run([path], monkeypatch)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_notebook_was_run_from_top_to_bottom_and_is_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/(home|root|work|tmp|Users)/|Warning", path.read_text())
    assert path.stat().st_size < LARGEST


def test_every_link_of_the_notebooks_leads_to_a_file():
    for path in ALL:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert target.startswith("http") or (FOLDER / target).is_file(), f"{path.name}: {target}"
