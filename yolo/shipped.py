"""The cfgs and lists of names that come with the package, found by name: `yolov3-tiny`, `coco`.

A wheel holds them inside the package (setup.py), a checkout in its folders cfg/ and data/.
"""

from difflib import get_close_matches
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

HOMES = {  # ending → folder in an installed package, folder in a checkout
    ".cfg": (PACKAGE / "shipped_cfgs", PACKAGE.parent / "cfg"),
    ".names": (PACKAGE / "shipped_names", PACKAGE.parent / "data"),
}

# weights/README.md, which says where weights are published: in an installed package, in a checkout
WEIGHTS_TABLES = (
    PACKAGE / "shipped_weights" / "README.md",
    PACKAGE.parent / "weights" / "README.md",
)

SIMILARITY = 0.4  # of a wrong name and one that is suggested, from 0 to 1


def shipped_files(ending: str) -> dict[str, Path]:
    """Return the shipped files with this ending, .cfg or .names: name without the ending → path."""
    installed, checkout = HOMES[ending]
    folder = installed if installed.is_dir() else checkout
    return {path.stem: path for path in sorted(folder.glob(f"*{ending}"))}


def given_or_shipped(text: str, ending: str) -> Path:
    """Return the path `text`, or the shipped file of this name.

    A file that exists comes first. Only a name without folder and ending is looked up.
    Raises LookupError, with a message of one line, for a name that is neither.
    """
    path = Path(text)
    if path.is_file() or path.suffix or text != path.name:
        return path
    shipped = shipped_files(ending)
    if text in shipped:
        return shipped[text]
    if not path.exists():
        close = get_close_matches(text, shipped, n=5, cutoff=SIMILARITY) or list(shipped)
        raise LookupError(
            f"{text}: found no such file and no {ending} of this name in the package, "
            f"expected a file or one of {', '.join(close)}"
        )
    return path  # a folder: opening it raises an error that names it


def weights_table() -> Path:
    """Return the path of the table of published weights."""
    installed, checkout = WEIGHTS_TABLES
    return installed if installed.is_file() else checkout
