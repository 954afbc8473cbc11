"""yolo.console.command_line: files that follow an option of several values."""

import pytest

from yolo.console.command_line import files_first


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--layers 36 61 a.png b.png --report d", "a.png b.png --layers 36 61 --report d"),
        ("a.png --layers 36 b.png --report d", "a.png b.png --layers 36 --report d"),
        ("--set width=320 height=320 a.png --cfg c", "a.png --set width=320 height=320 --cfg c"),
        ("--set width=320 0", "0 --set width=320"),  # a camera
        ("--layers a.png 3", "--layers a.png 3"),  # no value: argparse says so
        ("--cfg c a.png", "--cfg c a.png"),
        ("--layers 3 -- 4", "--layers 3 -- 4"),
        ("--set width=320 -", "- --set width=320"),
    ],
)
def test_files_after_the_values_of_an_option_are_not_its_values(line, expected):
    assert files_first(line.split()) == expected.split()
