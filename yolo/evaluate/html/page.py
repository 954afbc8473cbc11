"""The frame of a page that opens from disk alone: its head, its parts, and the rule that it may load nothing."""

import base64
import hashlib
from collections.abc import Iterable, Sequence

from yolo.evaluate.html.markup import element, table, words
from yolo.evaluate.html.page_style import SCRIPT, STYLE

NOT_AVAILABLE = "n/a"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document. The browser is told to fetch nothing and to run no script but the page's own."""
    head = (
        '<meta charset="utf-8">'
        + element("meta", http_equiv="Content-Security-Policy", content=_policy())
        + element("meta", name="viewport", content="width=device-width, initial-scale=1")
        + words("title", title)
        + f"<style>{STYLE}</style>"
    )
    body = element("main", "".join(parts)) + '<div id="tip" role="status" hidden></div>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n'
        f"<body>{body}\n<script>{SCRIPT}</script></body></html>\n"
    )


def heading(title: str, intro: str = "") -> str:
    """The title of a part and what it is about."""
    return words("h2", title) + (words("p", intro, class_="sub") if intro else "")


def card(content: str, read: str, title: str = "") -> str:
    """A chart or table with a title and, below it, how to read it."""
    top = words("h3", title) if title else ""
    return element("section", top + content + words("p", read, class_="read"), class_="card")


def grid(parts: Sequence[str], class_: str = "two") -> str:
    """Parts beside each other where there is room."""
    return element("div", "".join(parts), class_=class_)


def tile(value: str, meaning: str, change: str = "") -> str:
    """A large number and what it is; change: markup beside it."""
    return element(
        "div", element("b", words("span", value, class_="big") + change) + words("span", meaning),
        class_="card tile",
    )  # fmt: skip


def record(rows: Iterable[Sequence[str]], heads: Sequence[str]) -> str:
    """A table of a thing and what it was, in typewriter letters."""
    return table(heads, rows, "record")


def number(value: float | int | None, digits: int = 4) -> str:
    """A measure or a count for the eye; n/a where there is none."""
    if isinstance(value, int):
        return f"{value:,}"
    return NOT_AVAILABLE if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A measure in percent."""
    return NOT_AVAILABLE if value is None else f"{value:.1%}"


def counted(count: int, thing: str) -> str:
    """`1 image`, `2 images`, `1,234 images`; things whose plural has an s."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
