"""The program that computes COCO's numbers equals pycocotools in every digit: ties, crowds, empty sets, all sizes."""

import json
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo.evaluate.metrics.coco import _by_hotcoco, _by_pycocotools, coco_structures, score_coco
from yolo.evaluate.pairing import Sources, read_pair
from yolo.formats.recognition import DetectionFormat, GroundTruthFormat

pytest.importorskip("hotcoco")

# Side lengths on both sides of COCO's limits of small and large, 32 and 96; few positions, so that IoUs are equal, too
SIDES = st.sampled_from([1.0, 16.0, 31.5, 32.0, 33.25, 96.0, 97.0, 150.7])
PLACES = st.sampled_from([-3.0, 0.0, 4.0, 8.5, 16.0, 90.1])
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0])
IMAGES, CATEGORIES = (7, 139, 8), (18, 2, 5)
BOX = st.tuples(PLACES, PLACES, SIDES, SIDES).map(list)
PLACE = {"image_id": st.sampled_from(IMAGES), "category_id": st.sampled_from(CATEGORIES), "bbox": BOX}
RESULTS = st.lists(st.fixed_dictionaries(PLACE | {"score": SCORES}), max_size=40)
GROUND_TRUTHS = st.lists(st.fixed_dictionaries(PLACE | {"iscrowd": st.sampled_from([0, 0, 0, 1])}), max_size=20)


def dataset_of(ground_truths):
    annotations = [
        {**ground_truth, "id": number, "area": ground_truth["bbox"][2] * ground_truth["bbox"][3]}
        for number, ground_truth in enumerate(ground_truths, 1)
    ]
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 300, "height": 300} for number in IMAGES]
    categories = [{"id": number, "name": str(number)} for number in CATEGORIES]
    return {"images": images, "categories": categories, "annotations": annotations}


def same(dataset, results):
    before = json.dumps([dataset, results])
    ours, judge = _by_hotcoco(dataset, results), _by_pycocotools(dataset, results)
    assert list(ours.stats) == judge.stats.tolist()
    assert np.array_equal(ours.precision, judge.precision)
    assert ours.categories == judge.categories
    assert json.dumps([dataset, results]) == before
    return judge.stats


@settings(max_examples=60, deadline=None)
@given(GROUND_TRUTHS, RESULTS)
def test_every_digit_is_pycocotools(ground_truths, results):
    same(dataset_of(ground_truths), results)


def test_more_than_a_hundred_detections_of_an_image_with_equal_scores():
    rng = np.random.default_rng(0)
    ground_truths = [
        {"image_id": 7, "category_id": 2, "bbox": [*rng.integers(0, 200, 2).tolist(), 30, 40], "iscrowd": 0}
        for _ in range(60)
    ]
    results = [
        {**{name: ground_truths[number % 60][name] for name in ("image_id", "category_id")},
         "score": 0.5 + number % 3 / 4,
         "bbox": [value + float(rng.integers(-4, 5)) for value in ground_truths[number % 60]["bbox"]]}
        for number in range(250)
    ]  # fmt: skip
    assert 0 < same(dataset_of(ground_truths), results)[0] < 1


def test_ids_that_are_not_counted_from_zero_go_to_pycocotools():
    dataset = dataset_of([{"image_id": 7, "category_id": 2, "bbox": [0, 0, 8, 9], "iscrowd": 0}])
    results = [{"image_id": 7, "category_id": 2, "bbox": [0, 0, 8, 9], "score": 0.5}]
    expected = score_coco(dataset, results)
    for images in (-7, 2**64):
        dataset["images"][0]["id"] = dataset["annotations"][0]["image_id"] = results[0]["image_id"] = images
        assert score_coco(dataset, results) == expected


@pytest.mark.slow
def test_a_real_networks_results_on_voc2007_test(shared, tmp_path):
    for name in ("datasets/VOC2007_annotations.tar.xz", "voc_results/yolov2.tar.xz"):
        with tarfile.open(shared / name) as archive:
            archive.extractall(tmp_path, filter="data")
    voc = tmp_path / "VOC2007"
    results = next(tmp_path.rglob("comp4_det_test_cat.txt")).parent
    sources = Sources(
        voc / "Annotations", GroundTruthFormat.VOC, results, DetectionFormat.COMP4, voc / "ImageSets/Main/test.txt"
    )
    pair = read_pair(sources)
    dataset, found = coco_structures(pair.ground_truth_set, pair.detections)
    assert len(found) == 101_139
    same(dataset, found)
    assert round(score_coco(dataset, found).ap, 3) == 0.419
