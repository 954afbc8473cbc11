"""yolo.names_file: one name a line, and what is refused."""

import pytest

from yolo import cfg
from yolo.errors import DatasetError
from yolo.names_file import read_classes, read_names


def test_names_are_one_per_line_and_empty_lines_at_the_end_are_ignored(tmp_path):
    path = tmp_path / "my.names"
    path.write_bytes(b"\xef\xbb\xbfperson\r\ntraffic light \n\n \n")
    assert read_names(path) == ["person", "traffic light"]


def test_a_names_file_without_names_is_an_error(tmp_path):
    path = tmp_path / "my.names"
    path.write_text("\n\n")
    with pytest.raises(DatasetError, match="found no class name, expected one per line"):
        read_names(path)


@pytest.mark.parametrize("name", ["\x1b[31mdog", "d\0g", "do\tg", "d\u202eog"])
def test_an_unprintable_name_is_an_error_with_its_line(tmp_path, name):
    path = tmp_path / "my.names"
    path.write_text(f"größe 犬\n{name}\n", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_names(path)
    expected = f"found class name {name!a}, expected printable characters"
    assert str(caught.value) == f"{path}:2: {expected}"


def test_two_classes_of_one_name_are_refused(tmp_path):
    (tmp_path / "my.names").write_text("dog\ncat\ndog\n")
    with pytest.raises(DatasetError, match=r"my.names:3: 'dog' is line 1 already, expected it once$"):
        read_classes(tmp_path / "my.names")


def test_the_path_that_scripts_import_read_names_from_still_works():
    assert cfg.read_names is read_names
