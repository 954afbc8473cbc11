"""yolo.formats.cfg_text: the new text has the new values and nothing else changes."""

import pytest

from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.formats.cfg_text import edit_cfg

TEXT = """# a comment
[net]
batch = 64
width=416
#batch=1

[convolutional]
filters=255
filters=30
activation=linear
; another comment

[yolo]
classes=80
"""


def edited(values, text=TEXT):
    return edit_cfg(text, "a.cfg", values)


def test_a_number_written_otherwise_is_no_change():
    text = TEXT.replace("width=416", "scales=.1, .1")
    assert edited({0: {"scales": "0.1,0.1", "batch": "64.0"}}, text) == (text, [])
    assert edited({0: {"scales": "0.1,0.2"}}, text)[0] == text.replace(".1, .1", "0.1,0.2")


def test_a_value_changes_on_its_own_line_and_nothing_else():
    text, changes = edited({1: {"filters": "24"}, 2: {"classes": "3"}})
    assert text == TEXT.replace("filters=255", "filters=24").replace("classes=80", "classes=3")
    assert [str(change) for change in changes] == [
        "line 8: [convolutional] filters: 255 -> 24",
        "line 14: [yolo] classes: 80 -> 3",
    ]


def test_blanks_around_the_equals_sign_stay():
    text, _ = edited({0: {"batch": "16"}})
    assert "batch = 16\n" in text


def test_a_new_key_goes_below_the_last_entry_of_its_section():
    text, changes = edited({0: {"height": "416", "burn_in": "100"}, 2: {"classes": "2"}})
    assert "width=416\nheight=416\nburn_in=100\n#batch=1" in text
    assert [(change.line, change.key) for change in changes] == [
        (5, "height"), (6, "burn_in"), (16, "classes"),
    ]  # fmt: skip
    lines = text.split("\n")
    assert all(lines[change.line - 1].startswith(f"{change.key}=") for change in changes)


def test_a_removed_key_becomes_a_comment_with_all_its_lines():
    text, changes = edited({1: {"filters": None}})
    assert "# filters=255\n# filters=30\n" in text
    assert str(changes[0]) == "line 8: [convolutional] filters: 255 -> none"
    assert not parse_cfg(text, "a.cfg")[1].has("filters")


def test_a_value_that_is_there_already_is_no_change():
    assert edited({0: {"batch": "64", "width": " 416"}, 1: {"absent": None}}) == (TEXT, [])


def test_line_ends_of_windows_stay():
    text, _ = edited({0: {"batch": "8", "height": "32"}}, TEXT.replace("\n", "\r\n"))
    assert text.count("\r\n") == text.count("\n") and "batch = 8\r\n" in text and "height=32\r\n" in text


def test_a_section_without_entries_takes_a_key():
    text, changes = edited({1: {"alpha": "1"}}, "[net]\nwidth=3\n[empty]\n[yolo]\n")
    assert text == "[net]\nwidth=3\n[empty]\nalpha=1\n[yolo]\n" and changes[0].line == 4


def test_what_is_no_cfg_is_named():
    with pytest.raises(CfgError, match="a.cfg"):
        edited({}, "no section")
