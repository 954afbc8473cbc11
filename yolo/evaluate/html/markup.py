"""Elements of HTML and SVG as text; whatever comes from outside is escaped here and nowhere else."""

from collections.abc import Iterable, Sequence
from html import escape

VOID = {"meta", "img", "br"}  # have no content and no end tag in HTML


def escaped(content: str) -> str:
    """Text for any place in a page: no markup in it, and what cannot be printed as a visible escape.

    So no file name can turn the reading direction, and one that is no UTF-8 can still be written.
    """
    visible = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in content)
    return escape("".join(visible))


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """`<name attributes>content</name>`: values are escaped, `content` is markup already; None: no such attribute.

    A trailing underscore is dropped and others become dashes: class_, stroke_width.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in VOID else f"{content}</{name}>"
    return f"<{name}{written}>{end}"


def words(name: str, content: str, /, **attributes: object) -> str:
    """An element that holds plain text."""
    return element(name, escaped(content), **attributes)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], class_: str = "") -> str:
    """A table of plain texts, wide ones to be scrolled; the first column names the row."""
    top = "".join(words("th", head, scope="col") for head in heads)
    body = "".join(
        element("tr", words("th", row[0], scope="row") + "".join(words("td", c) for c in row[1:]))
        for row in rows
    )
    content = element("thead", element("tr", top)) + element("tbody", body)
    return element("div", element("table", content, class_=class_ or None), class_="scroll")


def _plain(value: object) -> str:
    """Numbers with at most two decimals: a hundredth of a pixel is not seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
