"""yolo.evaluate.html.markup: nothing from outside can become markup."""

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.report_pages import Taken
from yolo.evaluate.html.markup import element, escaped, table, words


@given(st.text())
def test_any_text_stays_text(content):
    page = Taken(words("p", content, data_tip=content, class_="a"))
    assert [tag for tag, _ in page.starts] == ["p"]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in content)
    assert page.text == shown and page.values("data-tip") == [shown]


def test_what_cannot_be_printed_is_shown_as_an_escape():
    assert escaped("a\x00b\u202ec\udcff") == r"a\x00b\u202ec\udcff"
    escaped("\udcff").encode()


def test_elements():
    assert (
        element("a", "<b>", class_="x", stroke_width=1.5, rx=None)
        == '<a class="x" stroke-width="1.5"><b></a>'
    )
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_table_has_a_cell_for_each_text():
    page = Taken(table(("<name>", "n"), [("a&b", "1"), ("c", "2")]))
    assert page.texts == ["<name>", "n", "a&b", "1", "c", "2"]
    assert (
        page.count("tr") == 3
        and page.count("td") == 2
        and page.values("scope") == ["col"] * 2 + ["row"] * 2
    )
