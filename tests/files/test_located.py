"""yolo.files.located: where the paths in a file lead."""

import pytest

from yolo.files.located import locate, moved_file


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
