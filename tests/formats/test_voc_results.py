"""yolo.formats.voc_results: results files in and out, and the scores recorded for a real YOLOv2 on VOC2007 test."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.detection_files import detections_of, images_of, some_ground_truth, voc_annotation
from yolo.errors import DatasetError
from yolo.evaluate.metrics.voc import (
    VOC_PIXEL_EXTENT,
    detections_in_voc_pixels,
    ground_truth_in_voc_pixels,
    mean_ap,
    score_classes,
    voc_pixels,
)
from yolo.evaluate.pairing import as_evaluation
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.formats.voc_results import read_results, results_names, write_results
from yolo.formats.voc_xml import read_image_set, read_voc_ground_truth
from yolo.records import VOC_ORIGIN, GroundTruth, ScoredBoxes

IDS = ("000001", "000002")


def images_with(names, labels=()):
    """The images IDS, the first of them with an object of each of the labels."""
    count = len(labels)
    ground_truth = GroundTruth(
        np.zeros(count, np.int64),
        np.array(labels, np.int64),
        np.ones((count, 4)),
        np.zeros(count, bool),
    )
    files = tuple(f"{image_id}.jpg" for image_id in IDS)
    return GroundTruthSet(names, files, None, ground_truth, VOC_ORIGIN)


def results_file(folder, text: str, name: str = "cat"):
    path = folder / f"comp4_det_test_{name}.txt"
    path.write_bytes(text.encode())
    return path


def unpack(path, folder, wanted):
    """The files of an archive whose names are wanted; extractall takes several times as long."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and wanted(PurePosixPath(member.name)):
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())


@pytest.fixture(scope="module")
def recorded(shared, tmp_path_factory):
    """(expected numbers, class names, scores) of the recorded results, through our own readers."""
    folder = tmp_path_factory.mktemp("voc")
    annotations = shared / "datasets/VOC2007_annotations.tar.xz"
    unpack(shared / "voc_results/yolov2.tar.xz", folder, lambda name: True)
    unpack(annotations, folder, lambda name: name.name == "test.txt")
    image_ids = read_image_set(folder / "VOC2007/ImageSets/Main/test.txt")
    ids = set(image_ids)
    unpack(annotations, folder, lambda name: name.suffix == ".xml" and name.stem in ids)
    found = read_voc_ground_truth(folder / "VOC2007/Annotations", image_ids)
    detections = read_results(folder / "yolov2", found)
    scores = score_classes(found.ground_truth, detections, len(found.names), 0.5, VOC_PIXEL_EXTENT)
    shutil.rmtree(folder)  # pytest would keep 5,000 files for three runs
    expected = json.loads((shared / "voc_results/yolov2_expected.json").read_text())
    return expected, found.names, scores


def test_every_class_gets_the_eleven_point_ap_that_voc_eval_recorded(recorded):
    expected, names, scores = recorded
    ours = {name: round(score.voc07_ap, 4) for name, score in zip(names, scores, strict=True)}
    assert ours == expected["voc07_11_point"]["AP"]
    mean = mean_ap(score.voc07_ap for score in scores)
    assert mean == pytest.approx(expected["voc07_11_point"]["mAP"], abs=1e-6)


def test_every_class_gets_the_area_ap_that_voc_eval_recorded(recorded):
    expected, names, scores = recorded
    ours = {name: round(score.area_ap, 4) for name, score in zip(names, scores, strict=True)}
    assert ours == expected["area"]["AP"]
    mean = mean_ap(score.area_ap for score in scores)
    assert mean == pytest.approx(expected["area"]["mAP"], abs=1e-6)


def test_voc2007_test_has_its_published_number_of_objects(recorded):
    _, _, scores = recorded
    assert sum(score.match.ground_truths for score in scores) == 12032  # VOC2007's own statistics page
    assert sum(score.match.detections for score in scores) == 101139


def test_results_are_read_class_by_class_in_the_order_of_the_files(tmp_path):
    results_file(tmp_path, "000002 0.5 1 2 3 4\n000001 0.5 5 6 7 8\n", "cat")
    results_file(tmp_path, "", "dog")
    results_file(tmp_path, "000001 1e-3 1.5 1.5 1.5 1.5\r\n\r\n", "eel")
    detections = read_results(tmp_path, images_with(("cat", "dog", "eel")))
    assert detections.image_index.tolist() == [1, 0, 0]
    assert detections.labels.tolist() == [0, 0, 2]
    assert detections.scores.tolist() == [0.5, 0.5, 0.001]
    assert detections.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [1.5, 1.5, 1.5, 1.5]]
    assert results_names(tmp_path) == ("cat", "dog", "eel")


GOOD = "000001 0.5 1 2 3 4\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000001 0.5 1 2 3", "found 5 columns, expected 6: id score xmin ymin xmax ymax"),
        ("000001 0.5 1 2 3 4 5", "found 7 columns"),
        ("000001 high 1 2 3 4", "found score 'high', expected a finite number"),
        ("000001 nan 1 2 3 4", "found score 'nan'"),
        ("000001 inf 1 2 3 4", "found score 'inf'"),
        ("000001 0.5 1 2 3 1e999", "found ymax '1e999'"),
        ("000001 0.5 1 2 1e308 1e308", "found xmax '1e308'"),
        ("000001 0.5 1_0 2 30 4", "found xmin '1_0', expected a finite number"),
        ("000001 0_5 1 2 30 4", "found score '0_5', expected a finite number"),
        ("000001 0.5 1 2 \u0663 4", "found xmax '\u0663', expected a finite number"),
        ("000009 0.5 1 2 3 4", "found image 000009, expected one of the 2 of the image set"),
        ("\x00\x01\x02", "found 1 column"),
    ],
)
def test_a_bad_results_line_is_named(tmp_path, line, message):
    path = results_file(tmp_path, GOOD + "\n" + line + "\n" + GOOD)
    with pytest.raises(DatasetError) as caught:
        read_results(tmp_path, images_with(("cat",)))
    assert str(caught.value).startswith(f"{path}:3: {message}")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_text_are_a_bad_line(tmp_path):
    path = results_file(tmp_path, "")
    path.write_bytes(b"000001 0.5 1 2 3 4\n\xff\xd8\xff\xe0 JFIF")
    with pytest.raises(DatasetError, match=":2: found 2 columns"):
        read_results(tmp_path, images_with(("cat",)))


def test_two_lines_with_too_few_and_too_many_columns_are_an_error(tmp_path):
    results_file(tmp_path, "000001 0.5 1 2 3\n000001 0.5 1 2 3 4 5\n")
    with pytest.raises(DatasetError, match=":1: found 5 columns"):
        read_results(tmp_path, images_with(("cat",)))


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"away: no comp4_det_test_<class>\.txt found"):
        results_names(tmp_path / "away")


def test_every_class_without_a_results_file_is_named(tmp_path):
    results_file(tmp_path, GOOD)
    with pytest.raises(DatasetError, match=r"found for cow, dog, expected one for each class"):
        read_results(tmp_path, images_with(("cat", "cow", "dog"), labels=[2, 1, 0]))


finite = st.floats(0, 1e4, allow_subnormal=False)


@given(st.lists(st.tuples(st.sampled_from([0, 1]), finite, finite, finite, finite), max_size=8))
def test_written_results_are_read_back_to_the_last_digit(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("results")
    numbers = np.array(rows, dtype=np.float64).reshape(-1, 5)
    boxes = np.concatenate((numbers[:, 1:3], numbers[:, 1:3] + numbers[:, 3:]), axis=1)
    detections = ScoredBoxes(
        image_index=numbers[:, 0].astype(np.int64),
        labels=np.sort(np.arange(len(numbers)) % 2),
        scores=numbers[:, 1].astype(np.float32).astype(np.float64),  # as a network gives them
        boxes=boxes,
    )
    written = write_results(folder, ("cat", "dog"), IDS, detections)
    assert [path.name for path in written] == ["comp4_det_test_cat.txt", "comp4_det_test_dog.txt"]
    again = read_results(folder, images_with(("cat", "dog")))
    assert again.image_index.tolist() == detections.image_index.tolist()
    assert again.labels.tolist() == detections.labels.tolist()
    assert again.scores.tolist() == detections.scores.tolist()
    assert again.boxes.tolist() == detections.boxes.tolist()


def test_a_written_line_by_hand(tmp_path):
    detections = ScoredBoxes(np.array([1]), np.array([0]), np.array([0.25]), np.array([[1.0, 2.5, 3.0, 4.0]]))
    (path,) = write_results(tmp_path, ("cat",), IDS, detections)
    assert path.read_text() == "000002 0.25 1.0 2.5 3.0 4.0\n"


def test_continuous_boxes_become_darknets_voc_pixels():
    boxes = np.array([[0, 0, 10, 20], [-3, 5.5, 101, 19.5], [-9, -9, -5, -5], [150, 60, 190, 70]])
    sizes = np.array([[50, 100]] * 4)  # height 50, width 100
    assert voc_pixels(boxes, sizes).tolist() == [
        [1, 1, 11, 21],
        [1, 6.5, 100, 20.5],
        [1, 1, 1, 1],
        [100, 50, 100, 50],
    ]
    assert voc_pixels(np.zeros((0, 4)), np.zeros((0, 2))).shape == (0, 4)


def test_files_as_an_evaluation_score_as_they_do_in_vocs_pixels(tmp_path):
    """Half pixels and six decimals; the sizes are not known, so nothing is clamped."""
    (tmp_path / "000001.xml").write_text(voc_annotation(("cat", 1, 2, 30.5, 40, 0)))
    found = read_voc_ground_truth(tmp_path, ("000001",))
    results_file(tmp_path, "000001 0.5 1.234567 2 3000.1 4000.5\n")
    detections = read_results(tmp_path, found)
    evaluation = as_evaluation(found, detections)
    assert evaluation.ground_truth.boxes.tolist() == [[0, 1, 29.5, 39]]
    assert ground_truth_in_voc_pixels(evaluation).boxes.tolist() == found.ground_truth.boxes.tolist()
    assert detections_in_voc_pixels(evaluation).boxes.tolist() == detections.boxes.tolist()


def test_a_class_with_ground_truth_needs_a_file_and_one_without_ground_truth_none(tmp_path):
    images = images_of(some_ground_truth(1.0), origin=1.0)
    write_results(tmp_path, images.names, images.image_ids, detections_of((0, 0, 0.5, 1, 1, 2, 2)))
    (tmp_path / "comp4_det_test_eel.txt").unlink()
    assert len(read_results(tmp_path, images).scores) == 1
    (tmp_path / "comp4_det_test_dog.txt").unlink()
    with pytest.raises(DatasetError, match="no comp4_det_test_<class>.txt found for dog"):
        read_results(tmp_path, images)


def test_results_of_an_unknown_class_are_named(tmp_path):
    (tmp_path / "comp4_det_test_emu.txt").touch()
    with pytest.raises(DatasetError, match="found results of class 'emu', expected one of the 3"):
        read_results(tmp_path, images_of(origin=1.0))


@pytest.mark.parametrize(
    ("names", "image_ids", "message"),
    [
        (("a/b",), ("x",), "found class 'a/b', expected one that can be part of"),
        (("é" * 114,), ("x",), "found class 'é+', expected one that can be part of"),
        (("a",), ("x y",), "found image 'x y', expected a name without blanks"),
    ],
)
def test_what_results_files_cannot_hold_is_refused(tmp_path, names, image_ids, message):
    with pytest.raises(DatasetError, match=f"^t.json: {message}"):
        write_results(tmp_path, names, image_ids, detections_of(), "t.json: ")
    assert not [*tmp_path.iterdir()]


def test_the_longest_class_name_of_a_results_file_is_written(tmp_path):
    write_results(tmp_path, ["é" * 113], ["x"], detections_of())
    assert len(next(tmp_path.iterdir()).name) == len("comp4_det_test_.txt") + 113


def test_ids_may_have_folders_and_suffixes_and_boxes_may_be_inverted(tmp_path):
    text = "\ufeff000002.jpg\t0.5 3 2 1 4 \r\nJPEGImages/000001 .25 1 2 3 4\r\nC:\\x\\000002.JPG 1 1 2 3 4\r\n"
    results_file(tmp_path, text)
    found = read_results(tmp_path, images_with(("cat",)))
    assert found.image_index.tolist() == [1, 0, 1] and found.scores.tolist() == [0.5, 0.25, 1]
    assert found.boxes[0].tolist() == [3, 2, 1, 4]


def test_an_id_with_a_folder_distinguishes_images_of_one_name(tmp_path):
    images = replace(images_with(("cat",)), files=("day/1.jpg", "night/1.jpg"))
    results_file(tmp_path, "night/1 0.5 1 2 3 4\nday/1.jpg 0.25 1 2 3 4\n")
    assert read_results(tmp_path, images).image_index.tolist() == [1, 0]
    path = results_file(tmp_path, "1 0.5 1 2 3 4\n")
    with pytest.raises(DatasetError) as error:
        read_results(tmp_path, images)
    message = "found image 1, which may be day/1.jpg or night/1.jpg, expected a name with its folder"
    assert str(error.value) == f"{path}:1: {message}"


def test_an_id_that_is_no_utf8_is_found(tmp_path):
    results_file(tmp_path, "").write_bytes(b"caf\xe9 0.5 1 2 3 4\n")
    images = replace(images_with(("cat",)), files=("a.jpg", b"caf\xe9.jpg".decode(errors="surrogateescape")))
    assert read_results(tmp_path, images).image_index.tolist() == [1]


def test_a_class_has_the_results_file_of_its_other_name(tmp_path):
    results_file(tmp_path, GOOD, "motorbike")
    images = images_with(("cat", "motorcycle"), labels=[1])
    assert read_results(tmp_path, images).labels.tolist() == [1]
    results_file(tmp_path, GOOD, "motorcycle")
    with pytest.raises(DatasetError, match="found results of '.*' and of '.*', which are the same class, expected one"):
        read_results(tmp_path, images)
