"""COCO's score: by hand, and against pycocotools used directly on the same files."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolo.evaluate.metrics import coco as coco_metric
from yolo.evaluate.metrics.coco import score_coco
from yolo.formats.coco_structures import coco_dataset, coco_results
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet
from yolo.records import GroundTruth, ScoredBoxes

NAMES = ("cat", "dog", "eel")
CATEGORY_IDS = (18, 17, 3)  # falling, so that a mix-up of position and id shows
IMAGE_IDS = (139, 285, 632, 724)
SIZES = np.array([[300, 400]] * 4)  # (height, width)
IDS = CocoIds(IMAGE_IDS, CATEGORY_IDS)


def set_of(ground_truth, sizes=SIZES, names=NAMES):
    files = tuple(f"{index}.jpg" for index in range(len(sizes)))
    return GroundTruthSet(names, files, sizes, ground_truth, 0.0)


def some_ground_truth(rng) -> GroundTruth:
    """40 boxes from 8 to 150 pixels in four images; none of class 2."""
    corners = rng.uniform(0, 200, (40, 2))
    sides = rng.uniform(8, 150, (40, 2))
    return GroundTruth(
        image_index=rng.integers(0, 4, 40),
        labels=rng.integers(0, 2, 40),
        boxes=np.concatenate((corners, corners + sides), axis=1),
        difficult=rng.random(40) < 0.2,
    )


def some_detections(rng, ground_truth: GroundTruth) -> ScoredBoxes:
    """Each ground truth moved by some pixels, half of them twice, with many equal scores."""
    which = np.concatenate((np.arange(40), np.arange(20)))
    moved = ground_truth.boxes[which] + rng.normal(0, 4, (60, 1))
    return ScoredBoxes(
        ground_truth.image_index[which],
        ground_truth.labels[which],
        np.round(rng.random(60), 1),
        moved,
    )


def nothing_found() -> ScoredBoxes:
    index = np.zeros(0, dtype=np.int64)
    return ScoredBoxes(index, index, np.zeros(0), np.zeros((0, 4)))


def found_exactly(ground_truth: GroundTruth) -> ScoredBoxes:
    return ScoredBoxes(ground_truth.image_index, ground_truth.labels, np.full(40, 0.5), ground_truth.boxes)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def ground_truth(rng) -> GroundTruth:
    return some_ground_truth(rng)


@pytest.fixture
def dataset(ground_truth) -> dict:
    return coco_dataset(set_of(ground_truth), IDS)


def test_score_equals_pycocotools_on_the_files(tmp_path, rng, ground_truth, dataset):
    results = coco_results(some_detections(rng, ground_truth), 0.0, IDS)
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    score = score_coco(dataset, results)
    ours = [value for name, value in vars(score).items() if name != "class_ap"]
    assert [-1 if value is None else value for value in ours] == evaluation.stats.tolist()
    assert 0.1 < score.ap < score.ap50 < 1  # a real case, not an empty one
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # categories by rising id: eel dog cat
    assert score.class_ap == (precision[:, :, 2].mean(), precision[:, :, 1].mean(), None)


def test_scoring_prints_nothing_and_leaves_its_arguments_alone(capsys, ground_truth, dataset):
    results = coco_results(found_exactly(ground_truth), 0.0, IDS)
    before = json.dumps([dataset, results])
    score_coco(dataset, results)
    assert capsys.readouterr().out == ""
    assert json.dumps([dataset, results]) == before


def test_exact_detections_score_one(ground_truth, dataset):
    score = score_coco(dataset, coco_results(found_exactly(ground_truth), 0.0, IDS))
    assert (score.ap, score.ap50, score.ap75, score.ar100) == (1, 1, 1, 1)
    assert score.class_ap == (1, 1, None)


def test_no_detection_scores_zero(dataset):
    score = score_coco(dataset, coco_results(nothing_found(), 0.0, IDS))
    assert (score.ap, score.ar100) == (0, 0)


def test_no_ground_truth_has_no_score(ground_truth, dataset):
    empty = {**dataset, "annotations": []}
    score = score_coco(empty, coco_results(found_exactly(ground_truth), 0.0, IDS))
    assert all(value is None for name, value in vars(score).items() if name != "class_ap")
    assert score.class_ap == (None, None, None)


def test_a_difficult_box_is_neither_true_nor_false_positive():
    index = np.zeros(2, dtype=np.int64)
    boxes = np.array([[0.0, 0, 50, 50], [100, 100, 150, 150]])
    ground_truth = GroundTruth(index, index, boxes, np.array([False, True]))
    dataset = coco_dataset(set_of(ground_truth, SIZES[:1], ("cat",)), CocoIds((1,), (1,)))
    # the false detection is worth nothing only where the box is difficult
    results = coco_results(ScoredBoxes(index, index, np.array([0.5, 0.9]), boxes), 0.0, CocoIds((1,), (1,)))
    assert score_coco(dataset, results).ap == pytest.approx(1)
    dataset["annotations"].pop()
    assert score_coco(dataset, results).ap == pytest.approx(0.5)


def test_structures_by_hand():
    ground_truth = GroundTruth(np.array([1]), np.array([0]), np.array([[10.0, 20, 40, 60]]), np.array([True]))
    dataset = coco_dataset(set_of(ground_truth, np.array([[5, 6], [7, 8]]), ("cat",)), CocoIds((139, 285), (17,)))
    assert dataset == {
        "images": [
            {"id": 139, "height": 5, "width": 6, "file_name": "0.jpg"},
            {"id": 285, "height": 7, "width": 8, "file_name": "1.jpg"},
        ],
        "categories": [{"id": 17, "name": "cat"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 285,
                "category_id": 17,
                "bbox": [10, 20, 30, 40],
                "area": 1200,
                "iscrowd": 1,
            }
        ],
    }
    detections = ScoredBoxes(ground_truth.image_index, ground_truth.labels, np.array([0.25]), ground_truth.boxes)
    assert coco_results(detections, 0.0, CocoIds((139, 285), (17,))) == [
        {"image_id": 285, "category_id": 17, "bbox": [10, 20, 30, 40], "score": 0.25}
    ]


GOOD = '{"image_id": 139, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 0.5}'


def test_what_is_left_out_before_scoring_is_what_pycocotools_does_not_count(rng, ground_truth, dataset):
    """600 detections a class in few images, of equal scores: COCO counts the first 100 of each image and class."""
    keys = [(image["id"], kind["id"]) for image in dataset["images"] for kind in dataset["categories"]]
    results = []
    for annotation in dataset["annotations"] * 40:
        moved = (np.array(annotation["bbox"]) + [*rng.normal(0, 3, 2), 0, 0]).tolist()
        score = int(rng.integers(0, 8)) / 8
        same = {"image_id": annotation["image_id"], "category_id": annotation["category_id"]}
        results.append({**same, "bbox": moved, "score": score})
    kept = coco_metric.counted_results(results)
    counts = [sum((each["image_id"], each["category_id"]) == key for each in results) for key in keys]
    assert max(counts) > coco_metric.COUNTED and len(kept) == sum(
        min(each, coco_metric.COUNTED) for each in counts
    ) < len(results)
    ours, theirs = coco_metric._by_pycocotools(dataset, kept), coco_metric._by_pycocotools(dataset, results)
    assert np.array_equal(ours.stats, theirs.stats) and np.array_equal(ours.precision, theirs.precision)
    assert score_coco(dataset, results).ap == theirs.stats[0]
