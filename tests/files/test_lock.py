"""The lock of a folder, where the file system has no locks."""

import errno
import fcntl

import pytest

from yolo.errors import OutputError
from yolo.files.lock import locked


def test_a_file_system_without_locks_is_worked_in(tmp_path, monkeypatch):
    def refused(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with locked(tmp_path / "lock"), locked(tmp_path / "lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_the_error_says_what_the_other_process_does(tmp_path):
    expected = pytest.raises(OutputError, match="found another process that writes shard 1/2 in this folder")
    with locked(tmp_path / "lock"), expected, locked(tmp_path / "lock", "that writes shard 1/2"):
        pass
