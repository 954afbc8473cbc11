"""yolo.files.located: where the paths in a file lead."""

import pytest

from yolo.files.located import locate, locate_beside, moved_file


def test_relative_paths_are_tried_from_the_current_folder_and_then_from_the_files_own(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    (there / "both.txt").touch()
    (there / "only.txt").touch()
    (here / "both.txt").touch()
    assert locate("both.txt", there).resolve() == here / "both.txt"
    assert locate("only.txt", there) == there / "only.txt"
    (there / "obj").mkdir()
    (there / "obj/1.jpg").touch()
    assert locate("obj\\1.jpg", there) == there / "obj/1.jpg"  # as written on Windows
    assert str(locate("neither.txt", there)) == "neither.txt"  # as the user wrote it, for the error
    assert str(locate("long" * 5000, there)) == "long" * 5000  # no file system has such a name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train/obj/1.jpg", "obj/1.jpg"),
        ("C:\\darknet\\x64\\data\\obj\\1.jpg", "obj/1.jpg"),
        ("/home/me/darknet/data/obj/1.jpg", "obj/1.jpg"),
        ("../images/2.jpg", "2.jpg"),
        ("obj/2.jpg", None),  # obj is there, so its own 2.jpg is missing
        ("data/obj/2.jpg", None),
        ("data/obj", None),  # a folder, such as backup, is never another one
        ("obj/1.jpg", None),
    ],
)
def test_folders_of_another_machine_are_left_out(tmp_path, monkeypatch, text, found):
    (tmp_path / "data/obj").mkdir(parents=True)
    (tmp_path / "data/obj/1.jpg").touch()
    (tmp_path / "data/2.jpg").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = moved_file(text, str(tmp_path / "data"))
    assert moved == (found and str(tmp_path / "data" / found))
    if moved:
        assert str(locate(text, tmp_path / "data")) == moved


def test_darknets_own_layout_is_read_from_any_folder_without_a_remark(tmp_path, monkeypatch):
    (tmp_path / "darknet/data/obj").mkdir(parents=True)
    (tmp_path / "darknet/data/obj/1.jpg").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "darknet/data"  # of train.txt, whose rows Darknet reads from the folder above
    assert locate("data/obj/1.jpg", folder) == folder / "obj/1.jpg"
    assert moved_file("data/obj/1.jpg", str(folder)) is None


def test_a_missing_file_of_a_folder_that_is_there_is_never_another_file_of_its_name(tmp_path):
    for folder in ("full/images", "copy/images"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "copy/images/5.jpg").touch()
    missing = str(tmp_path / "full/images/5.jpg")
    assert str(locate(missing, tmp_path / "copy")) == missing and moved_file(missing, str(tmp_path / "copy")) is None
    moved = str(tmp_path / "gone/images/5.jpg")
    assert moved_file(moved, str(tmp_path / "copy")) == str(tmp_path / "copy/images/5.jpg")


def test_a_path_from_the_folder_above_is_whole(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "1.jpg").touch()
    assert locate("../1.jpg", tmp_path / "lists").is_file()
    assert moved_file("../1.jpg", str(tmp_path / "lists")) is None


def test_a_file_beside_another_is_not_one_of_the_current_folder(tmp_path, monkeypatch):
    for folder in ("here/images", "there/images"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "1.jpg").touch()
    (tmp_path / "here/images/2.jpg").touch()
    monkeypatch.chdir(tmp_path / "here")
    there = tmp_path / "there"
    for text in ("images/1.jpg", "images\\1.jpg", "data/images/1.jpg", "D:\\there\\images\\1.jpg"):
        assert locate_beside(text, there) == there / "images/1.jpg"
    assert locate_beside("images/2.jpg", there) == there / "images/2.jpg"  # missing
    assert locate_beside(str(tmp_path / "here/images/2.jpg"), there) == tmp_path / "here/images/2.jpg"
