"""yolo.files: a file is there with its text, and left alone where it is already."""

import os

import pytest

from yolo.files import writable, write_new


def test_new_changed_and_unchanged_files(tmp_path):
    path = tmp_path / "a.txt"
    write_new(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    os.utime(path, ns=(5, 5))
    write_new(path, "ü\n")
    assert path.stat().st_mtime_ns == 5
    write_new(path, "")
    assert path.read_bytes() == b""


def test_the_mode_is_that_of_any_new_file(tmp_path):
    write_new(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_without_a_folder_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path / "no/a.txt", "")


def test_a_folder_that_is_not_there_is_writable_as_the_one_above_it(tmp_path):
    assert writable(tmp_path) and writable(tmp_path / "x/y")
    (tmp_path / "locked").mkdir(mode=0o555)
    assert not writable(tmp_path / "locked") and not writable(tmp_path / "locked/x/y")
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file/x")
