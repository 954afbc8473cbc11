"""yolo.files: a file or a folder is replaced whole or not at all."""

import os
from contextlib import closing

import pytest

from yolo.files import GrowingFile, replacing, replacing_folder, write_text


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


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_appears_when_the_block_ends_well(tmp_path, there):
    path = tmp_path / "new/out"
    if there:
        path.mkdir(parents=True)
    before = os.umask(0o027)
    try:
        with replacing_folder(path) as folder:
            write_text(folder / "a.txt", "x")
            assert not path.exists() or not os.listdir(path)  # not yet
    finally:
        os.umask(before)
    assert os.listdir(tmp_path / "new") == ["out"] and os.listdir(path) == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_no_folder_and_no_temporary_one(tmp_path, error):
    with pytest.raises(error), replacing_folder(tmp_path / "out") as folder:
        write_text(folder / "a.txt", "half")
        raise error
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_filled_meanwhile_stays_and_is_named(tmp_path):
    with pytest.raises(OSError) as error, replacing_folder(tmp_path / "out") as folder:
        write_text(folder / "a.txt", "x")
        write_text(tmp_path / "out/b.txt", "another's")
    assert error.value.filename == f"{tmp_path}/out"
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["b.txt"]


def test_a_name_too_long_is_said_of_the_final_folder(tmp_path):
    with pytest.raises(OSError) as error, replacing_folder(tmp_path / "out") as folder:
        write_text(folder / ("a" * 300), "x")
    assert error.value.filename == f"{tmp_path}/out/{'a' * 300}"


def test_a_growing_file_is_cut_only_if_asked(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with closing(GrowingFile(path)) as file:
        file.append(b"g")
    assert path.read_bytes() == b"abcdefg"
    with closing(GrowingFile(path, keep=2)) as file:
        file.append(b"-")
    assert path.read_bytes() == b"ab-"
