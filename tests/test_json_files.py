"""yolo.data.json_files: what is read, and what is one line; the other files' tests have more of these."""

from decimal import Decimal

import pytest

from yolo.data.json_files import read_json, shown
from yolo.errors import DatasetError


def test_keys_are_left_out_of_every_object(tmp_path):
    (tmp_path / "x.json").write_text('{"a": [{"big": [1, 2], "b": 0.1}], "big": {"big": 1}}')
    assert read_json(tmp_path / "x.json", leave_out=("big",)) == {"a": [{"b": 0.1}]}
    content = read_json(tmp_path / "x.json", number=Decimal)
    assert content["a"][0] == {"big": [1, 2], "b": Decimal("0.1")}


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
def test_what_is_no_json_is_one_line(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_values_are_shown_on_one_short_line():
    assert shown("a\nbü") == r"'a\nb\xfc'"
    assert shown([7] * 99) == "[" + "7, " * 25 + "7..."
