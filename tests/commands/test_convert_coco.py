"""The command convert_coco with folders and splits."""

import json

import pytest

from tests.data.convert.test_coco import CAT_LABEL, annotation, coco, image
from yolo.data.convert.recognize import AnnotationKind, annotations_of
from yolo.data_file import read_data
from yolo.formats.label_files import read_list


def store(folder, json_name, images, first=0, count=4):
    """An annotation file of a cat in each of `count` images, which are empty files in `images`."""
    entries = [image(at, f"{at:03}.jpg") for at in range(first, first + count)]
    path = folder / json_name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco(entries, [annotation(at, at) for at in range(first, first + count)])))
    (folder / images).mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (folder / images / entry["file_name"]).touch()


def names(out, split):
    return [path.name for path in read_list(out / f"{split}.txt")]


@pytest.mark.parametrize(
    ("layout", "unused"),
    [
        ([("annotations/instances_train2017.json", "images/train2017"),
          ("annotations/instances_val2017.json", "images/val2017")], None),
        ([("train/_annotations.coco.json", "train"), ("valid/_annotations.coco.json", "valid"),
          ("test/_annotations.coco.json", "test")], "test/_annotations.coco.json"),
        ([("annotations/instances_train.json", "images"), ("annotations/instances_test.json", "images")], None),
    ],
)  # fmt: skip
def test_the_lists_of_a_folder_are_those_that_its_paths_name(tmp_path, call, layout, unused):
    folder = tmp_path / "flowers"
    for number, (json_name, images) in enumerate(layout):
        store(folder, json_name, images, first=4 * number)
    (folder / "other.json").write_text('{"images": []}')
    (folder / "captions_train.json").write_text('{"images": 1, "annotations": 1, "categories": 1}')
    code, out, err = call("convert_coco", folder, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    data = read_data(tmp_path / "out/coco.data")
    assert (data.name, data.classes) == ("flowers", 2)
    assert names(tmp_path / "out", "train") == ["000.jpg", "001.jpg", "002.jpg", "003.jpg"]
    assert names(tmp_path / "out", "valid") == ["004.jpg", "005.jpg", "006.jpg", "007.jpg"]
    assert all(path.is_file() for split in (data.train, data.valid) for path in read_list(split))
    assert (f"not used: {folder}/{unused}" in out) if unused else ("not used" not in out)


def test_a_folder_or_a_file_is_split_and_more_images_move_none(tmp_path, call):
    store(tmp_path / "a", "annotations/instances_default.json", "images", count=15)
    store(tmp_path / "b", "labels.json", "photos", count=40)
    assert call("convert_coco", tmp_path / "a", "--split", 0.3, "--out", tmp_path / "one")[0] == 0
    pair = f"{tmp_path}/b/labels.json:{tmp_path}/b/photos"
    assert call("convert_coco", "--train", pair, "--split", 0.3, "--out", tmp_path / "two")[0] == 0
    for split in ("train", "valid"):
        assert set(names(tmp_path / "one", split)) < set(names(tmp_path / "two", split))
    assert (tmp_path / "a/labels/000.txt").read_text() == f"0 {CAT_LABEL}\n"


def test_without_a_valid_list_that_is_said(tmp_path, call):
    store(tmp_path / "a", "x.json", "images")
    code, out, _ = call("convert_coco", tmp_path / "a", "--out", tmp_path / "out")
    assert code == 0 and "no valid list" in out and read_data(tmp_path / "out").valid is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found neither DIR nor --train"),
        (["nowhere"], "nowhere: no such folder"),
        (["x.json:images"], "no such folder; JSON:IMAGES goes after --train or --valid"),
        (["empty"], "empty: found no COCO annotations (.json) in or below this folder"),
        (["bare"], "bare/x.json: found no 000.jpg in or below "),
    ],
)
def test_what_cannot_be_converted_is_reported(tmp_path, call, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    store(tmp_path / "bare", "x.json", "../elsewhere")
    code, _, err = call("convert_coco", *arguments, "--out", "out")
    assert code == 2 and message in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_file_names_and_json_of_windows_are_read(tmp_path, call, encoding):
    folder = tmp_path / "export"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").touch()
    content = {
        "images": [{"id": 1, "file_name": "images\\a.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 0, "name": "Käfer"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [10, 10, 20, 10]}],
    }
    (folder / "result.json").write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    assert annotations_of(folder) is AnnotationKind.COCO
    code, _, err = call("convert_coco", folder, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert (folder / "labels" / "a.txt").read_text() == "0 0.2 0.3 0.2 0.2\n"
    assert (tmp_path / "out" / "coco.names").read_text() == "Käfer\n"
