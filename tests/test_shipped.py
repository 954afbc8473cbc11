"""yolo.named_files: names find the cfgs and lists of names of the package, files on disk come first."""

from pathlib import Path

import pytest

from yolo.named_files import HOMES, given_or_shipped, shipped_files


def test_every_cfg_and_list_of_the_checkout_has_its_name(project):
    for ending, folder in ((".cfg", "cfg"), (".names", "data")):
        files = sorted(path for path in (project / folder).iterdir() if path.suffix == ending)
        assert files and shipped_files(ending) == {path.stem: path for path in files}


def test_a_name_finds_the_shipped_file(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert given_or_shipped("yolov3-tiny", ".cfg") == project / "cfg/yolov3-tiny.cfg"
    assert given_or_shipped("coco", ".names") == project / "data/coco.names"


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    inside = tmp_path / "shipped_cfgs"
    inside.mkdir()
    (inside / "mine.cfg").touch()
    monkeypatch.setitem(HOMES, ".cfg", (inside, HOMES[".cfg"][1]))
    assert shipped_files(".cfg") == {"mine": inside / "mine.cfg"}


def test_a_file_of_this_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("coco").write_text("cat\n")
    assert given_or_shipped("coco", ".names") == Path("coco")


@pytest.mark.parametrize("text", ["yolov3.cfg", "./yolov3", "away/yolov3", "/yolov3"])
def test_a_path_is_no_name(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert given_or_shipped(text, ".cfg") == Path(text)


def test_a_folder_does_not_hide_a_shipped_file(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("coco").mkdir()
    Path("other").mkdir()
    assert given_or_shipped("coco", ".names") == project / "data/coco.names"
    assert given_or_shipped("other", ".names") == Path("other")


@pytest.mark.parametrize(
    ("text", "ending", "close"),
    [
        ("yolov3-tyni", ".cfg", "one of yolov3-tiny, "),
        ("zzzz", ".names", "one of coco, shapes, voc"),
    ],
)
def test_an_unknown_name_is_one_line_with_close_ones(tmp_path, monkeypatch, text, ending, close):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LookupError, match=f"^{text}: found no such file and .*{close}") as error:
        given_or_shipped(text, ending)
    assert "\n" not in error.value.args[0]
