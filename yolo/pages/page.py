"""Render a page from its template as one HTML file that loads nothing, and write it beside its numbers.

jinja2 escapes everything that is inserted into a template. The style sheet and the script are part of the page. Its
Content-Security-Policy allows the browser no requests and no scripts except the page's own.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from yolo.console.numbers import NOT_AVAILABLE
from yolo.errors import OutputError, noun
from yolo.files.image_file import encoded_image
from yolo.files.writing import write_text

TEMPLATES = Path(__file__).parent / "templates"
PAGE_FILE = "index.html"
IMAGE_MEASURES = {".jpg": 82, ".png": 9}  # of `encoded_image`: small files
MEDIA_TYPES = {".jpg": "jpeg", ".png": "png"}


def render(
    templates: Path | Sequence[Path], template: str, *, sources: str = "img-src data:", **context: object
) -> str:
    """Render a template as a whole page.

    Args:
        templates: a folder of `*.html.jinja` that extend `page.html.jinja`, and of `*.css` and `*.js` that follow
            the common ones; or several such folders, for a page with sections of several subjects.
        template: the name of the page's template.
        sources: what the page may load and request, as directives of its Content-Security-Policy.
        context: the values that it inserts.
    """
    folders = (templates,) if isinstance(templates, Path) else tuple(templates)
    script = _joined(folders, "*.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; {sources}; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    style = Markup(_joined(folders, "*.css"))
    made = environment(*folders).get_template(template)
    return made.render(policy=policy, style=style, script=Markup(script), **context)


def check_page_folder(folder: str | Path, numbers_file: str) -> None:
    """Raise OutputError if a page must not be written into `folder`: it is a file, or holds another page.

    numbers_file: the name of the JSON file beside each page of this kind.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: found a file, expected a folder to write to")
    page = folder / PAGE_FILE
    if page.exists() and not (folder / numbers_file).exists():
        raise OutputError(
            f"{page}: found a page without {numbers_file}, which is not of this kind; expected another folder"
        )


def write_page(folder: str | Path, page: str, numbers_file: str, numbers: str) -> Path:
    """Write a page and its numbers, and return the path of the page.

    An older page is deleted first and the new one is written last, so that a page always belongs to the numbers
    beside it.

    Args:
        folder: created if it does not exist.
        page: the HTML.
        numbers_file: the name of the JSON file.
        numbers: its content.

    Raises:
        OSError: a file cannot be written.
        OutputError: the folder holds a page of another kind.
    """
    folder = Path(folder)
    check_page_folder(folder, numbers_file)
    (folder / PAGE_FILE).unlink(missing_ok=True)
    write_text(folder / numbers_file, numbers)
    write_text(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


@cache
def environment(*folders: Path) -> Environment:
    """Return the environment of the templates of some folders and of the common ones."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number_text,
        percent=_percent,
        plural=count_text,
        noun=noun,
        file_name=lambda path: Path(path).name,
    )
    return made


def printable(value: object) -> object:
    """Return the text of a value in a template; the result is escaped after that.

    Characters that cannot be printed become visible escapes, so that a file name cannot change the reading
    direction, and one that is not UTF-8 can still be written. Floats, which are pixels of drawings, get at most two
    decimals.
    """
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)
    return value


def number_text(value: float | int | None, digits: int = 4) -> str:
    """Format a measure, rounded to `digits`, or a count; None becomes n/a."""
    if value is None:
        return NOT_AVAILABLE
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def count_text(count: int, thing: str) -> str:
    """Return `1 image`, `2,000 images`; thing: as of `noun`."""
    return f"{count:,} {noun(count, thing)}"


def data_uri(image: NDArray[np.uint8], ending: str = ".jpg") -> str:
    """Return an RGB image uint8 [H, W, 3] as a data URI; ending: as of `page_image`."""
    return file_uri(page_image(image, ending), ending)


def file_uri(content: bytes, ending: str) -> str:
    """Return the content of an image file as a data URI; ending: .jpg or .png."""
    return f"data:image/{MEDIA_TYPES[ending]};base64,{base64.b64encode(content).decode()}"


def page_image(image: NDArray[np.uint8], ending: str) -> bytes:
    """Return the content of the file of an RGB image uint8 [H, W, 3], for a page.

    ending: .jpg for photos; .png for maps with sharp cells, which may be [H, W, 4] with their opacity.
    """
    return encoded_image(image, ending, IMAGE_MEASURES[ending])


def _joined(folders: Sequence[Path], pattern: str) -> str:
    """Return the common files of a pattern, then those of each folder, in the order of their names."""
    files = [path for folder in dict.fromkeys((TEMPLATES, *folders)) for path in sorted(folder.glob(pattern))]
    return "".join(path.read_text(encoding="utf-8") for path in files)


def _percent(value: float | None) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.1%}"
