"""yolo.data_file: `.data` files, and mistakes named with their line."""

from pathlib import Path

import pytest

from yolo.data_file import check_data_files, read_data
from yolo.errors import DatasetError


def test_a_data_file_names_lists_names_and_backup(tmp_path):
    path = tmp_path / "my.data"
    path.write_text(
        "# comment\nclasses= 3\ntrain  = /lists/my train.txt\nvalid=/lists/v.txt\nnames=/n.names\nbackup = /b\n"
    )
    data = read_data(path)
    assert data.classes == 3
    assert str(data.train) == "/lists/my train.txt"  # a blank inside a path stays
    assert [str(p) for p in (data.valid, data.names, data.backup)] == [
        "/lists/v.txt",
        "/n.names",
        "/b",
    ]
    assert data.difficult is None


def test_labels_is_another_name_for_names_in_a_data_file(tmp_path):
    (tmp_path / "my.data").write_text("classes=1\nlabels=/l.names\n")
    assert str(read_data(tmp_path / "my.data").names) == "/l.names"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes 3\n", ":1: found 'classes 3', expected key=value"),
        ("classes=3\ntrain=\n", ":2: found 'train=', expected key=value"),
        ("\nclasses=none\n", ":2: classes: found 'none', expected a whole number; Darknet reads 0"),
        ("classes=0\n", ":1: classes: found '0', expected a whole number of at least 1"),
        ("train=a.txt\n", ":1: classes: found nothing, expected a value"),
    ],
)
def test_an_error_in_a_data_file_names_its_line(tmp_path, text, message):
    path = tmp_path / "my.data"
    path.write_text(text)
    with pytest.raises(DatasetError) as caught:
        read_data(path)
    assert str(caught.value) == f"{path}{message}"


def test_backslashes_of_windows_are_read_where_the_file_is_there(tmp_path, caplog):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").touch()
    path = tmp_path / "my.data"
    path.write_text("classes=1\ntrain=lists\\train.txt\nvalid=lists\\valid.txt\nnames=away.names\n")
    data = read_data(path)
    assert data.train == tmp_path / "lists/train.txt"
    note = f"read as {tmp_path}/lists/train.txt (a backslash does not separate folders here)"
    assert caplog.messages == [f"{path}:2: train: found 'lists\\\\train.txt', {note}"]
    check_data_files(data, "train", "difficult")
    with pytest.raises(DatasetError) as error:
        check_data_files(data, "train", "valid")
    looked = rf"looked for {Path.cwd()}/lists\valid.txt and {tmp_path}/lists\valid.txt"
    hint = "a backslash does not separate folders here, with / instead it is not there either"
    place = rf"{path}:3: valid: found 'lists\\valid.txt'"
    assert str(error.value) == f"{place}, expected a file that is there; {looked}; {hint}"
    with pytest.raises(
        DatasetError, match=rf":4: names: found 'away.names', .*; looked for .*/away.names and {tmp_path}/away.names$"
    ):
        check_data_files(data, "names")


def test_a_data_set_is_named_by_its_key_or_by_the_file_and_a_folder_means_its_one_data_file(tmp_path):
    (tmp_path / "voc.data").write_text("classes=2\n")
    (tmp_path / "._voc.data").write_bytes(b"\0\5\x16\7")  # macOS's
    assert read_data(tmp_path).name == "voc" and read_data(tmp_path).path == str(tmp_path / "voc.data")
    (tmp_path / "voc.data").write_text("classes=2\nname = red flowers\n")
    assert read_data(tmp_path / "voc.data").name == "red flowers"
    (tmp_path / "coco.data").touch()
    with pytest.raises(DatasetError, match="found coco.data, voc.data, expected one .data file in this folder"):
        read_data(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: found none, expected one .data file"):
        read_data(tmp_path / "empty")
