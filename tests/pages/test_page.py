"""yolo.pages.page: nothing that is inserted into a template can become markup."""

import base64

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.report_pages import ParsedPage
from yolo.pages.page import data_uri, environment, render

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


def test_a_page_takes_templates_styles_and_scripts_of_several_folders(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.css").write_text(f".{name} {{ color: red }}\n")
        (tmp_path / name / f"{name}.js").write_text(f"// script {name}\n")
        (tmp_path / name / f"{name}.html.jinja").write_text(f"<p>{name} {{{{ word }}}}</p>")
    (tmp_path / "first" / "page_of_two.html.jinja").write_text(
        '{% extends "page.html.jinja" %}{% block main %}{% include "first.html.jinja" %}'
        '{% include "second.html.jinja" %}{% endblock %}'
    )
    page = render((tmp_path / "first", tmp_path / "second"), "page_of_two.html.jinja", word="<b>")
    assert "<p>first &lt;b&gt;</p><p>second &lt;b&gt;</p>" in page
    for words in (".{} {{", "// script {}"):
        assert page.index(words.format("first")) < page.index(words.format("second"))


def test_a_map_keeps_its_opacity():
    clear = np.zeros((2, 3, 4), np.uint8)
    clear[0, 0] = (255, 0, 10, 128)
    content = base64.b64decode(data_uri(clear, ".png").partition(",")[2])
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored[0, 0].tolist() == [10, 0, 255, 128] and not stored[1].any()
