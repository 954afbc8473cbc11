"""yolo.files.writing: a file is replaced completely or not at all; many small files are written quickly."""

import errno
import os
import shutil
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from tests.helpers.full_disk import full_beyond
from yolo.errors import OutputError
from yolo.files.writing import GrowingFile, naming, replacing, replacing_alone, write_new, write_text


def test_a_file_is_replaced_when_the_block_succeeds(tmp_path):
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


def test_an_error_creates_no_file(tmp_path):
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


def test_missing_folders_are_created(tmp_path):
    write_text(tmp_path / "new" / "newer" / "a.txt", "x")
    assert (tmp_path / "new" / "newer" / "a.txt").read_text() == "x"


def test_a_file_in_the_place_of_a_folder_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="file"):
        write_text(tmp_path / "file" / "a.txt", "x")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_growing_file_is_cut_only_if_asked(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with closing(GrowingFile(path)) as file:
        file.append(b"g")
    assert path.read_bytes() == b"abcdefg"
    with closing(GrowingFile(path, keep=2)) as file:
        file.append(b"-")
    assert path.read_bytes() == b"ab-"


@pytest.mark.parametrize("writer", [replacing, replacing_alone])
@pytest.mark.parametrize("instead", ["nothing", "folder", "file"])
def test_a_folder_that_is_removed_while_a_file_is_written_is_named(tmp_path, writer, instead):
    path = tmp_path / "out" / "a"
    with pytest.raises(OutputError if instead != "file" else NotADirectoryError) as error, writer(path) as file:
        file.write(b"1")
        shutil.rmtree(path.parent)
        if instead != "nothing":
            path.parent.mkdir() if instead == "folder" else path.parent.touch()
    assert str(path) in str(error.value) and ".a." not in str(error.value)
    assert not list(path.parent.glob("*"))


@pytest.mark.parametrize("error", [None, OSError])
def test_a_pipe_gets_all_bytes_at_the_end_and_stays_a_pipe(tmp_path, error):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with nullcontext() if error is None else pytest.raises(error), replacing(pipe) as file:
            file.write(b"whole")
            assert not reader.read()
            if error is not None:
                raise error
        assert reader.read() == (b"whole" if error is None else b"")
    assert pipe.is_fifo() and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_is_open_already_is_continued(tmp_path):
    with (tmp_path / "stdout").open("w") as stdout:
        write_text(f"/dev/fd/{stdout.fileno()}", "one\n")
        write_text(f"/dev/fd/{stdout.fileno()}", "two\n")
    assert (tmp_path / "stdout").read_text() == "one\ntwo\n"


def test_dev_null_takes_rows():
    with closing(GrowingFile(Path(os.devnull))) as first, closing(GrowingFile(Path(os.devnull))) as second:
        first.begin_alone()
        second.begin_alone()
        second.append(b"row\n")
    assert not Path(os.devnull).is_file()


def test_write_new_leaves_an_unchanged_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    write_new(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    os.utime(path, ns=(5, 5))
    write_new(path, "ü\n")
    assert path.stat().st_mtime_ns == 5
    write_new(path, "")
    assert path.read_bytes() == b""


def test_write_new_gives_the_permissions_of_an_ordinary_file(tmp_path):
    write_new(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_write_new_leaves_nothing_on_a_full_disk(tmp_path):
    with pytest.raises(OSError) as error, full_beyond(50):
        write_new(tmp_path / "a.txt", "x" * 100)
    assert error.value.filename == str(tmp_path / "a.txt") and not os.listdir(tmp_path)


def test_write_new_into_a_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path / "no/a.txt", "")


def append_twice(path):
    with closing(GrowingFile(path)) as file:
        file.append(b"x" * 50)
        file.append(b"x" * 50)


WRITERS = {
    "text": lambda path: write_text(path, "x" * 100),
    "new": lambda path: write_new(path, "x" * 100),
    "growing": append_twice,
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=list(WRITERS))
def test_an_error_without_room_names_the_file(tmp_path, writer):
    path = tmp_path / "out"
    with pytest.raises(OSError) as error, full_beyond(50):
        writer(path)
    assert error.value.errno in (errno.EFBIG, errno.ENOSPC) and error.value.filename == str(path)


def test_the_name_that_an_error_has_stays():
    with pytest.raises(OSError) as error, naming("b"):
        raise OSError(errno.ENOSPC, "No space", "a")
    assert error.value.filename == "a"
