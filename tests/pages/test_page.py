"""yolo.pages.page: nothing that is inserted into a template can become markup."""

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.report_pages import ParsedPage
from yolo.pages.page import environment

TEMPLATE = '<p class="{{ content }}">{{ content }}</p>'


def inserted(content):
    return environment().from_string(TEMPLATE).render(content=content)


@given(st.text())
def test_any_text_stays_text(content):
    page = ParsedPage(inserted(content))
    assert [tag for tag, _ in page.starts] == ["p"]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in content)
    assert page.text == shown and page.values("class") == [shown]


def test_what_cannot_be_printed_is_shown_as_an_escape():
    assert r">a\x00b\u202ec\udcff<" in inserted("a\x00b\u202ec\udcff")
    inserted("\udcff").encode()


def test_numbers_are_formatted_by_filters():
    text = (
        "{{ 1234 | number }} {{ 0.5 | number(2) }} {{ none | number }} {{ 0.256 | percent }} "
        "{{ 1 | plural('class') }} {{ 2 | plural('class') }} {{ 1234 | plural('image') }}"
    )
    assert environment().from_string(text).render() == ("1,234 0.50 n/a 25.6% 1 class 2 classes 1,234 images")
