"""yolo.support.table: the page lists all keys that the code reads, and no others."""

import ast

import pytest

from yolo.model.builders import BUILDERS, UNSUPPORTED
from yolo.model.building import MUST_BE_ZERO
from yolo.support.meanings import MEANINGS, SECTIONS, UNREAD
from yolo.support.table import EXAMPLES, aliases, key_specs, support_table

GETTERS = {"integer", "number", "flag", "text", "choice", "integers", "numbers"}


def test_the_page_in_docs_is_up_to_date(project):
    page = (project / "docs" / "supported.md").read_text()
    assert page == support_table(), "run tools/support_table.py"


def test_every_kind_of_section_is_on_the_page_under_all_its_names():
    named = {name for kind in SECTIONS if kind != "net" for name in (kind, *aliases(kind))}
    assert named == set(BUILDERS)
    assert set(EXAMPLES) <= set(SECTIONS) and set(MEANINGS) == set(SECTIONS)
    for name in (*BUILDERS, *UNSUPPORTED):
        assert f"[{name}]" in support_table()


@pytest.mark.parametrize("kind", SECTIONS)
def test_every_key_that_is_read_has_a_text_and_no_other_key_has_one(kind):
    read = {key for key, value in key_specs(kind).items() if not value.form.startswith(MUST_BE_ZERO)}
    assert read == set(MEANINGS[kind])


def test_no_key_that_the_code_names_is_missing_from_the_page(project):
    """A key that a builder reads only in some cases would be missing from the example's keys."""
    sources = [project / "yolo" / "settings.py", *(project / "yolo" / "model").rglob("*.py")]
    named = {
        call.args[0].value
        for source in sources
        for call in ast.walk(ast.parse(source.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in GETTERS
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }
    assert named - {key for kind in SECTIONS for key in key_specs(kind)} == set()
    assert "filters" in named and "anchors" in named  # the search finds something


def test_keys_listed_as_unread_are_not_read():
    for kind, groups in UNREAD.items():
        listed = {key for keys in groups for key in keys.split(", ")}
        for each in SECTIONS if kind == "every layer" else (kind,):
            if each == "net" and kind == "every layer":
                continue
            assert not listed & set(key_specs(each)), each


def test_defaults_and_forms_are_those_of_the_code():
    page = support_table()
    assert "| `filters` | whole number, at least 1 | 1 | number of output channels |" in page
    assert "| `iou_normalizer` | number | 0.75 | training: weight of the box loss |" in page
    assert "| `from` | whole numbers | required |" in page
    assert "| `sway` | 0 | 0 | any other value is an error: this kind of convolution is not supported |" in page
    assert "| `padding` | whole number, at least 0 | size - 1 |" in page
