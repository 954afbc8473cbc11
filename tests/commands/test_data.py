"""The command data as its users call it: the pages of drawn data sets, their numbers, and wrong input."""

import json
import shutil

import cv2
import numpy as np
import pytest

from tests.helpers.report_pages import ParsedPage
from tests.helpers.tiny_data import cfg_text

HOSTILE = "<script>document.title='taken'</script>"
CLASSES = ("cat", "dog")


def texts_of(folder):
    return ParsedPage((folder / "index.html").read_text())


def blots(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (96, 72), interpolation=cv2.INTER_CUBIC))
    return path


@pytest.fixture
def photos(tmp_path):
    """Three images to learn from and two to score, one of which is also in train at another size; three classes."""
    rows = {
        "train": ["0 .5 .5 .2 .2\n0 .5 .5 .2 .21\n1 .2 .2 .015 .015\n", "0 .3 .3 .2 .2\n", "1 1.4 .5 .2 .2\n"],
        "valid": ["0 .5 .5 .2 .2\n", ""],
    }
    seed = 0
    for name, labels in rows.items():
        paths = []
        for number, text in enumerate(labels):
            path = blots(tmp_path / f"images/{name}{number}.png", seed)
            seed += 1
            (tmp_path / "labels").mkdir(exist_ok=True)
            (tmp_path / f"labels/{name}{number}.txt").write_text(text)
            paths.append(str(path))
        (tmp_path / f"{name}.txt").write_text("\n".join(paths) + "\n")
    small = cv2.resize(cv2.imread(str(tmp_path / "images/train1.png")), (48, 36), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "images/valid0.png"), small)
    (tmp_path / "tiny.cfg").write_text(cfg_text())
    (tmp_path / "c.names").write_text(f"ant\nbee\n{HOSTILE}\n")
    (tmp_path / "set.data").write_text("classes=3\ntrain=train.txt\nvalid=valid.txt\nnames=c.names\n")
    return tmp_path


def test_the_page_of_a_drawn_data_set(photos, call):
    options = ("--data", photos / "set.data", "--cfg", photos / "tiny.cfg", "--set", "width=416", "height=416")
    code, out, err = call("data", *options, "--report", photos / "page")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "train: 3 images, 4 objects" and lines[1] == "valid: 2 images, 1 object"
    assert (
        "!! an image of valid is nearly the same as one of train, so the score is too high; move all of a group" in out
    )
    assert "!! a training stops at: 1 x label out of range; repair them" in out
    assert " ! 1 pair of boxes on the same object" in out
    assert " ! 1 of 4 objects is smaller than a cell of the finest head (8 x 8 pixels of 416 x 416)" in out
    page = texts_of(photos / "page")
    assert page.count("script") == 1 and any(HOSTILE in text for text in page.texts)
    numbers = json.loads((photos / "page/data.json").read_text())
    assert numbers["lists"][0]["class_objects"] == [3, 1, 0]
    assert [{each["list"] for each in group["images"]} for group in numbers["duplicates"]] == [{"train", "valid"}]
    assert [each["boxes"] for each in numbers["odd_labels"]] == [[0, 1]]
    assert sum(each["kind"] == "label out of range" for each in numbers["problems"]) == 1
    # the row with the fault is printed beside its image
    assert any("train2.txt:1: found" in text for text in page.texts)
    again = (photos / "page/index.html").read_text()
    assert call("data", *options, "--report", photos / "page")[0] == 0
    assert (photos / "page/index.html").read_text() == again  # the seed decides


def test_without_a_cfg_and_without_a_report_there_are_sentences(photos, call):
    (photos / "set.data").write_text("classes=3\ntrain=train.txt\n")
    code, out, err = call("data", "--data", photos / "set.data")
    assert (code, err) == (0, "") and "anchor" not in out and out.startswith("train: 3 images, 4 objects\n")
    assert call("data", "--data", photos / "set.data", "--report", photos / "page")[0] == 0
    assert "class 2" in texts_of(photos / "page").text  # numbers instead of names


def test_a_data_set_without_a_box_has_a_page(photos, call):
    for path in (photos / "labels").iterdir():
        path.write_text("")
    options = ("--data", photos / "set.data", "--cfg", photos / "tiny.cfg", "--report", photos / "page")
    code, out, _ = call("data", *options)
    assert code == 0 and "train: 3 images, 0 objects" in out and texts_of(photos / "page").text


def test_only_one_list_has_boxes(photos, call):
    for path in (photos / "labels").glob("train*"):
        path.write_text("")
    options = ("--data", photos / "set.data", "--cfg", photos / "tiny.cfg", "--report", photos / "page")
    code, out, err = call("data", *options)
    assert (code, err) == (0, "") and "train: 3 images, 0 objects" in out
    page = (photos / "page/index.html").read_text()
    assert "Width and height, valid" in page and "The median box is 13 × 10." in page
    sizes = page[page.index("<h3>Sizes</h3>") :]
    assert "solid run-b" in sizes and "solid run-a" not in sizes  # the color of valid


def test_a_classifiers_folders(tmp_path, call):
    seed = 0
    for part, count in (("train", 3), ("valid", 1)):
        for name in CLASSES:
            for number in range(count):
                blots(tmp_path / part / name / f"{number}.png", seed := seed + 1)
    shutil.copy(tmp_path / "train/cat/0.png", tmp_path / "valid/dog/copy.png")
    (tmp_path / "c.names").write_text("cat\ndog\n")
    (tmp_path / "set.data").write_text("classes=2\ntrain=train\nvalid=valid\nnames=c.names\n")
    code, out, err = call("data", "--data", tmp_path / "set.data", "--report", tmp_path / "page")
    assert (code, err) == (0, "") and out.startswith("train: 6 images\nvalid: 3 images\n")
    assert "!! 1 group of nearly equal images with different classes" in out
    assert json.loads((tmp_path / "page/data.json").read_text())["lists"][1]["counts"] == [1, 2]
    assert texts_of(tmp_path / "page").count("image") == 2 + 6  # the pair, and all images of both classes


def test_wrong_input_is_one_line(photos, call):
    def error(*options):
        code, out, err = call("data", *options)
        assert (code, out) == (2, "") and err.count("\n") == 1
        return err

    data = photos / "set.data"
    (photos / "other").mkdir()
    (photos / "other/index.html").write_text("mine")
    assert "found a page without data.json" in error("--data", data, "--report", photos / "other")
    data.write_text("classes=2\ntrain=train.txt\nnames=c.names\n")
    assert f"found classes=2 and 3 names in {photos / 'c.names'}, expected as many" in error("--data", data)
    data.write_text("classes=3\nnames=c.names\n")
    assert "found neither train nor valid" in error("--data", data)
    data.write_text("classes=3\ntrain=no.txt\n")
    assert "no.txt" in error("--data", data)
    (photos / "train.txt").write_text("nowhere.png\n")
    data.write_text("classes=3\ntrain=train.txt\n")
    assert "found no usable image; problems: " in error("--data", data)
