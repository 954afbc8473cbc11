"""Run the notebooks of this folder in place, so that their outputs are those of today's code.

example:
  python notebooks/execute.py              # all of them; `make notebooks` does this
  python notebooks/execute.py notebooks/03_map_by_hand.ipynb
"""

import base64
import sys
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
SECONDS = 1800  # of one cell; the longest one trains
COLORS = 96  # of a plot: a third of the bytes, and no difference to be seen


def execute(path: Path) -> None:
    """Run a notebook from its own folder and write its outputs into it.

    What differs from run to run is left out.
    """
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=SECONDS, resources=where).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        for output in cell.get("outputs", ()):
            _shrink(output)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    nbformat.write(notebook, path)


def _shrink(output: nbformat.NotebookNode) -> None:
    """Give a plot a palette of COLORS, and leave out the text that stands for it."""
    png = output.get("data", {}).get("image/png")
    if png is None:
        return
    output.data.pop("text/plain", None)
    smaller = BytesIO()
    with Image.open(BytesIO(base64.b64decode(png))) as image:
        image.convert("RGB").quantize(COLORS).save(smaller, "png", optimize=True)
    output.data["image/png"] = base64.b64encode(smaller.getvalue()).decode()


if __name__ == "__main__":
    for each in [Path(name).resolve() for name in sys.argv[1:]] or sorted(
        FOLDER.glob("*.ipynb")
    ):
        print(each.name, flush=True)
        execute(each)
