"""yolo.files.folders: a folder appears whole or not at all; what is hidden, and what may be written to."""

import errno
import os

import pytest

from yolo.files.folders import folder_beside, folder_if_used, replacing_folder, visible, writable
from yolo.files.writing import write_text


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


def test_a_missing_folder_is_writable_if_the_one_above_it_is(tmp_path):
    assert writable(tmp_path) and writable(tmp_path / "x/y")
    (tmp_path / "locked").mkdir(mode=0o555)
    assert not writable(tmp_path / "locked") and not writable(tmp_path / "locked/x/y")
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file/x")


def test_hidden_files_are_left_out_and_a_folder_that_cannot_be_read_is_empty_with_a_pattern_only(tmp_path):
    for name in ("b.data", "a.data", "._a.data", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in visible(tmp_path)] == ["a.data", "b.data", "c.txt"]
    assert [path.name for path in visible(tmp_path, "*.data")] == ["a.data", "b.data"]
    assert visible(tmp_path / "none", "*.data") == []
    with pytest.raises(FileNotFoundError):
        visible(tmp_path / "none")


def test_new_folders_that_stay_empty_are_removed(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(ValueError), folder_if_used(tmp_path / "new/inner"):
        assert (tmp_path / "new/inner").is_dir()
        raise ValueError
    with folder_if_used(tmp_path / "old"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["old"]
    with folder_if_used(tmp_path / "kept/inner"):
        write_text(tmp_path / "kept/a.txt", "x")
    assert [each.name for each in (tmp_path / "kept").iterdir()] == ["a.txt"]
