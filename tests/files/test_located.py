"""yolo.files.located: where the paths in a file lead."""

from yolo.files.located import locate


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
    assert str(locate("neither.txt", there)) == "neither.txt"  # as the user wrote it, for the error
    assert str(locate("long" * 5000, there)) == "long" * 5000  # no file system has such a name
