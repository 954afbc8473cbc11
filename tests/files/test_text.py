"""yolo.files.text: UTF-16 as Windows writes it, in each kind of Darknet's files."""

import pytest

from yolo.cfg import read_cfg
from yolo.data_file import read_data
from yolo.errors import CfgError, DatasetError
from yolo.names_file import read_names


def test_files_in_utf16_are_read(tmp_path, caplog):
    path = tmp_path / "my.data"
    path.write_bytes("classes=3\r\nnames=für.names\r\n".encode("utf-16"))
    assert (read_data(path).classes, str(read_data(path).names)) == (3, "für.names")
    assert caplog.messages[0] == f"{path}: found UTF-16, read as such; Darknet reads UTF-8 only"
    (tmp_path / "my.names").write_bytes("犬\r\n猫\r\n".encode("utf-16"))
    assert read_names(tmp_path / "my.names") == ["犬", "猫"]
    (tmp_path / "x.cfg").write_bytes("[net]\nbatch=1\n".encode("utf-16"))
    assert read_cfg(tmp_path / "x.cfg")[0].integer("batch") == 1
    for name, read, kind in (
        ("my.data", read_data, DatasetError),
        ("x.cfg", read_cfg, CfgError),
        ("my.names", read_names, DatasetError),
    ):
        (tmp_path / name).write_bytes("classes=3\n".encode("utf-16-be"))
        with pytest.raises(kind, match=f"{name}: found UTF-16 without a byte order mark, expected UTF-8 text$"):
            read(tmp_path / name)
