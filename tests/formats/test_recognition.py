"""yolo.formats.recognition: a certain format is recognized, anything else is an error that asks for it."""

import pytest

from yolo.errors import DatasetError
from yolo.formats.recognition import DetectionFormat, GroundTruthFormat, detection_format, ground_truth_format


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voc", GroundTruthFormat.VOC),
        ("x.data", GroundTruthFormat.LABELS),
        ("valid.txt", GroundTruthFormat.LABELS),
        ("instances.JSON", GroundTruthFormat.COCO),
    ],
)
def test_the_format_of_ground_truth_is_recognized(tmp_path, name, expected):
    if name == "voc":
        (tmp_path / "voc").mkdir()
        (tmp_path / "voc/1.xml").touch()
    else:
        (tmp_path / name).touch()
    assert ground_truth_format(tmp_path / name) is expected


@pytest.mark.parametrize("name", ["labels", "truth.csv"])
def test_an_uncertain_ground_truth_is_an_error_that_asks_for_its_format(tmp_path, name):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").touch()
    (tmp_path / "truth.csv").touch()
    with pytest.raises(DatasetError, match=f"{name}: found .* expected --truth-format"):
        ground_truth_format(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"image_id":1,"bbox":[]}]', DetectionFormat.COCO),
        ('[\n{\n "frame_id":1, \n "filename":"a.jpg"', DetectionFormat.DARKNET),
    ],
)
def test_json_is_recognized_by_its_first_keys(tmp_path, text, expected):
    (tmp_path / "r.json").write_text(text)
    assert detection_format(tmp_path / "r.json") is expected


@pytest.mark.parametrize("text", ["", "{}", '[{"image_id": 1, "filename": "x"}]'])
def test_an_uncertain_json_is_an_error_that_asks_for_its_format(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DatasetError, match="r.json: found no known format, expected"):
        detection_format(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["[]", " [\r\n\t] \n"])
def test_an_empty_list_is_an_error_that_asks_for_its_format(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DatasetError, match="r.json: found an empty list, expected --format, because"):
        detection_format(tmp_path / "r.json")


def test_a_folder_has_comp4_files_or_is_an_error_that_asks_for_its_columns(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(DatasetError, match="labels-score-first or labels-score-last"):
        detection_format(tmp_path)
    (tmp_path / "comp4_det_test_cat.txt").touch()
    assert detection_format(tmp_path) is DetectionFormat.COMP4


def test_a_path_that_does_not_exist_is_an_error(tmp_path):
    for format_of in (ground_truth_format, detection_format):
        with pytest.raises(FileNotFoundError):
            format_of(tmp_path / "nothing.json")
