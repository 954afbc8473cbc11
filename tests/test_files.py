"""yolo.files: a file or folder is replaced completely or not at all; many small files are written quickly."""

import errno
import os
from contextlib import closing

import pytest

from tests.helpers.full_disk import full_beyond
from yolo.errors import OutputError
from yolo.files import (
    GrowingFile,
    folder_beside,
    naming,
    open_input,
    refuse_charts_over,
    refuse_over_inputs,
    refuse_texts_over,
    replacing,
    replacing_folder,
    visible,
    writable,
    write_new,
    write_text,
)


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


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_appears_when_the_block_succeeds(tmp_path, there):
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


def test_a_folder_that_another_process_fills_stays_and_is_named(tmp_path):
    with pytest.raises(OSError) as error, replacing_folder(tmp_path / "out") as folder:
        write_text(folder / "a.txt", "x")
        write_text(tmp_path / "out/b.txt", "from elsewhere")
    assert error.value.filename == f"{tmp_path}/out"
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == ["b.txt"]


def test_an_error_about_a_long_name_names_the_final_folder(tmp_path):
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


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_folder_beside_a_file_is_deleted_and_not_named(tmp_path, error):
    out = tmp_path / "new" / "a.onnx"
    with pytest.raises(type(error)) as found, folder_beside(out) as folder:
        assert folder.parent == out.parent and folder.name.startswith(".a.onnx.")
        if isinstance(error, OSError):
            error.filename = str(folder / "a.onnx")
        raise error
    assert os.listdir(out.parent) == []
    assert getattr(found.value, "filename", str(out)) == str(out)


def test_folders_of_killed_processes_are_deleted_but_not_those_of_others(tmp_path):
    out = tmp_path / "a.onnx"
    killed, foreign = tmp_path / ".a.onnx.abcd1234", tmp_path / ".a.onnx.abcd5678"
    killed.mkdir()
    (killed / ".lock").write_text("123")
    foreign.mkdir()
    with folder_beside(out) as at_work, folder_beside(out):
        assert at_work.is_dir() and foreign.is_dir() and not killed.exists()


def test_write_new_into_a_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path / "no/a.txt", "")


def test_a_missing_folder_is_writable_if_the_one_above_it_is(tmp_path):
    assert writable(tmp_path) and writable(tmp_path / "x/y")
    (tmp_path / "locked").mkdir(mode=0o555)
    assert not writable(tmp_path / "locked") and not writable(tmp_path / "locked/x/y")
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file/x")


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_pipes_and_devices_are_no_files(tmp_path, what):
    """Reading them may wait forever, or never end."""
    path = tmp_path / "pipe" if what == "pipe" else "/dev/zero"
    if what == "pipe":
        os.mkfifo(path)
    with pytest.raises(OSError, match=f"found a {what}, expected a file") as error:
        open_input(path)
    assert error.value.filename == str(path)


def test_what_a_shell_hands_over_as_a_file_is_read():
    read_end, write_end = os.pipe()
    os.write(write_end, b"a.jpg\n")
    os.close(write_end)
    with open_input(f"/dev/fd/{read_end}") as file:
        assert file.read() == b"a.jpg\n"
    os.close(read_end)


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


def test_hidden_files_are_left_out_and_a_folder_that_cannot_be_read_is_empty_with_a_pattern_only(tmp_path):
    for name in ("b.data", "a.data", "._a.data", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in visible(tmp_path)] == ["a.data", "b.data", "c.txt"]
    assert [path.name for path in visible(tmp_path, "*.data")] == ["a.data", "b.data"]
    assert visible(tmp_path / "none", "*.data") == []
    with pytest.raises(FileNotFoundError):
        visible(tmp_path / "none")


def test_results_and_annotations_in_a_folder_that_is_read_are_inputs(tmp_path):
    for name in ("comp4_det_test_a.txt", "a.xml", "scores.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="comp4_det_test_a.txt: found an input"):
        refuse_texts_over([tmp_path / "comp4_det_test_a.txt"], [tmp_path])
    with pytest.raises(OutputError, match="a.xml: found an input"):
        refuse_over_inputs([tmp_path / "a.xml"], [tmp_path])
    refuse_texts_over([tmp_path / "scores.json", tmp_path / "new.txt"], [tmp_path])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_only_an_older_chart_is_replaced_by_a_chart(tmp_path, ending):
    from matplotlib.figure import Figure

    chart, photo = tmp_path / f"a.{ending}", tmp_path / f"photo.{ending}"
    Figure().savefig(chart)
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9000))
    refuse_charts_over([chart, tmp_path / "new.png", None], [photo])
    with pytest.raises(OutputError, match=rf"photo.{ending}: found a file that is no chart"):
        refuse_charts_over([photo], [])
    with pytest.raises(OutputError, match="found an input"):
        refuse_charts_over([chart], [chart])
