"""yolo.files: a file is replaced whole or not at all."""

import os

import pytest

from yolo.files import replacing, write_text


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"  # not yet
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_error_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(OSError), replacing(tmp_path / "a.bin"):
        raise OSError
    assert os.listdir(tmp_path) == []


def test_a_new_file_has_the_permissions_of_an_ordinary_one(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_text_is_written_as_utf8_under_a_name_given_as_text(tmp_path):
    write_text(str(tmp_path / "a.txt"), "größe\n")
    assert (tmp_path / "a.txt").read_bytes() == "größe\n".encode()


def test_folders_on_the_way_are_made(tmp_path):
    write_text(tmp_path / "new" / "newer" / "a.txt", "x")
    assert (tmp_path / "new" / "newer" / "a.txt").read_text() == "x"


def test_a_file_in_the_place_of_a_folder_is_the_systems_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="file"):
        write_text(tmp_path / "file" / "a.txt", "x")
    assert (tmp_path / "file").read_text() == "kept"
