"""yolo.formats.json_file: content and errors; the tests of the formats have more of these."""

import json
from decimal import Decimal

import pytest

from yolo.errors import DatasetError
from yolo.formats.json_file import read_json, readable_json, shown


def test_lists_of_numbers_are_left_out_of_every_object(tmp_path):
    text = r"""{"a": [{"big" : [[1, 2.5e3],
        [-3]], "b": 0.1}], "big": {"big": [4]}, "c": "\"big\": [1]", "big2": [5], "d": ["big", [1]]}"""
    (tmp_path / "x.json").write_text(text)
    whole = read_json(tmp_path / "x.json", number=Decimal)
    assert whole["a"][0] == {"big": [[1, Decimal(2500)], [-3]], "b": Decimal("0.1")}
    assert read_json(tmp_path / "x.json", leave_out=("big",)) == {
        "a": [{"big": 0, "b": 0.1}],
        "big": {"big": 0},
        "c": '"big": [1]',
        "big2": [5],
        "d": ["big", [1]],
    }
    (tmp_path / "x.json").write_text(text[:-1])
    with pytest.raises(DatasetError, match="x.json:2: column "):
        read_json(tmp_path / "x.json", leave_out=("big",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b" \n", ":2: column 1: found no json (Expecting value), the file is empty"),
        (
            b'{"a": 1,\n"b',
            ":2: column 1: found no json (Unterminated string starting at), the file",
        ),
        (b'{"a": 1}}', ":1: column 9: found no json (Extra data), expected a json file"),
        (b"\xff\xfe\xff", ": found no text"),
        (b"\x89PNG\r\n", ": found no text (byte 0), expected json"),
    ],
)
def test_a_file_that_is_not_json_is_an_error_of_one_line(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_values_are_shown_on_one_short_line():
    assert shown("a\nbü") == r"'a\nb\xfc'"
    assert shown([7] * 99) == "[" + "7, " * 25 + "7..."


def test_names_that_are_not_utf_8_or_not_printable_are_jsons_own_escapes():
    names = ["größe 猫", "\udcff.jpg", "\x9b31m\x7f", "\u202egpj.exe", "a\u2028b\x1b"]
    text = readable_json(names)
    assert text.encode().decode() == text and "größe 猫" in text
    assert [each for each in text if not each.isprintable()] == []
    assert json.loads(text) == names
