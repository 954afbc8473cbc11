"""yolo.formats.coco_results: no digit is lost, and every bad entry is named."""

import contextlib
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.helpers.detection_files import COCO_IDS, NAMES, any_detections, detections_of, images_of, some_ground_truth
from yolo.errors import DatasetError
from yolo.evaluate.metrics.coco import coco_structures, score_coco
from yolo.formats.coco_annotations import coco_ids_of, read_coco, read_coco_ground_truth, write_coco_ground_truth
from yolo.formats.coco_results import read_coco_detections, write_coco_detections
from yolo.formats.coco_structures import ids_from_one
from yolo.formats.ground_truth_set import CocoIds


def entry(**changed):
    return {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5, **changed}


def results(folder, content) -> Path:
    path = folder / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@given(any_detections(), st.sampled_from([0.0, 1.0]))
@settings(max_examples=150, deadline=None)
def test_detections_are_read_back_to_the_last_bit(detections, origin):
    images = images_of(origin=origin)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        write_coco_detections(path, images, COCO_IDS, detections)
        back = read_coco_detections(path, images, COCO_IDS)
        content = json.loads(path.read_bytes())  # as everybody else reads it
    for name, column in vars(detections).items():
        assert np.array_equal(getattr(back, name), column), name
    left_top_width_height = np.array([each["bbox"] for each in content]).reshape(-1, 4)
    corners = detections.boxes - origin
    corners[:, 2:] -= corners[:, :2]
    np.testing.assert_allclose(left_top_width_height, corners, rtol=1e-15, atol=1e-9)


def test_a_result_file_by_hand(tmp_path):
    write_coco_detections(
        tmp_path / "r.json",
        images_of(origin=1.0),
        COCO_IDS,
        detections_of((1, 0, 0.25, 0.3, -2.5, 10.7, 8), (0, 2, 1, 1, 1, 1, 1)),
    )
    # by hand: VOC's 0.3 and -2.5 are -0.7 and -3.5 from 0; 10.7 - 0.3 = 10.4; 8 + 2.5 = 10.5
    assert (tmp_path / "r.json").read_text() == (
        '[{"image_id": 139, "category_id": 18, "bbox": [-0.7, -3.5, 10.4, 10.5], "score": 0.25},\n'
        '{"image_id": 7, "category_id": 90, "bbox": [0.0, 0.0, 0.0, 0.0], "score": 1.0}]\n'
    )


def test_ground_truth_is_read_back_with_its_ids(tmp_path):
    images = images_of(some_ground_truth(1.0), origin=1.0)
    write_coco_ground_truth(tmp_path / "t.json", images, COCO_IDS)
    back = read_coco_ground_truth(tmp_path / "t.json", 1.0, NAMES)
    assert (back.files, back.coco_ids) == (images.files, COCO_IDS)
    assert back.sizes.tolist() == images.sizes.tolist()
    for name, column in vars(images.ground_truth).items():
        assert np.array_equal(getattr(back.ground_truth, name), column), name
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "t.json"))
    # by hand: from 0, left, top, width, height
    assert [each["bbox"] for each in theirs.loadAnns([1, 2, 3])] == [
        [10, 20, 30, 40], [0, 0, 500, 375], [100, 50, 50, 100],
    ]  # fmt: skip


def test_scores_are_those_of_pycocotools_on_the_files(tmp_path):
    rng = np.random.default_rng(2)
    dataset = {"images": [], "annotations": [], "categories": []}
    dataset["categories"] = [{"id": number, "name": f"c{number}"} for number in (40, 3, 17)]
    found = []
    for number in range(30, 0, -3):
        size = {"width": 640, "height": 480, "file_name": f"{number}.jpg"}
        dataset["images"].append({"id": number, **size})
        for _ in range(6):
            box = rng.uniform(1, 300, 4)
            row = {"image_id": number, "category_id": int(rng.choice([40, 3, 17]))}
            # the area is the outline's: smaller than the box's, and what decides small and large
            more = {"id": len(dataset["annotations"]) + 1, "iscrowd": int(rng.random() < 0.2)}
            area = {"area": float(box[2] * box[3] * rng.uniform(0.1, 1))}
            dataset["annotations"].append({**row, "bbox": box.tolist(), **more, **area})
            moved = box + rng.normal(0, 9, 4)
            moved[2:] = np.abs(moved[2:])
            score = round(float(rng.random()), 1)
            found.append({**row, "bbox": moved.tolist(), "score": score})
    (tmp_path / "t.json").write_text(json.dumps(dataset))
    (tmp_path / "r.json").write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(tmp_path / "t.json"))
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(str(tmp_path / "r.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    images = read_coco_ground_truth(tmp_path / "t.json", 0.0)
    detections = read_coco_detections(tmp_path / "r.json", images, images.coco_ids)
    score = score_coco(*coco_structures(images, detections))
    ours = [value for name, value in vars(score).items() if name != "class_ap"]
    assert [-1 if value is None else value for value in ours] == evaluation.stats.tolist()
    assert 0.05 < score.ap_small < 1 and images.names == ("c3", "c17", "c40")


def test_a_class_without_a_category_is_scored_with_an_unused_id(tmp_path):
    write_coco_ground_truth(tmp_path / "t.json", images_of(some_ground_truth()), COCO_IDS)
    images = read_coco_ground_truth(tmp_path / "t.json", 0.0, ("cat", "dog", "emu", "eel"))
    assert images.coco_ids.categories == (18, 3, None, 90)
    dataset, _ = coco_structures(images, detections_of())
    assert [each["id"] for each in dataset["categories"]] == [18, 3, 91, 90]
    with pytest.raises(DatasetError, match="found detections of 'emu', which is no category"):
        write_coco_detections(tmp_path / "r.json", images, images.coco_ids, detections_of((0, 2, 1, 1, 1, 2, 2)))


def test_names_must_include_the_categories_that_have_boxes(tmp_path):
    write_coco_ground_truth(tmp_path / "t.json", images_of(some_ground_truth()), COCO_IDS)
    assert read_coco_ground_truth(tmp_path / "t.json", 0.0, ("dog", "cat")).ground_truth.labels.tolist() == [1, 0, 1]
    with pytest.raises(DatasetError, match="t.json: found category 'dog', expected one of the"):
        read_coco_ground_truth(tmp_path / "t.json", 0.0, ("cat", "eel"))


def test_ids_for_another_ground_truth_are_found_by_the_images_names(tmp_path):
    write_coco_ground_truth(tmp_path / "t.json", images_of(), COCO_IDS)
    file = read_coco(tmp_path / "t.json")
    other = images_of()
    assert coco_ids_of(file, other) == COCO_IDS
    assert ids_from_one(other) == CocoIds((1, 2, 3), (1, 2, 3))
    content = json.loads((tmp_path / "t.json").read_text())
    content["images"][0]["file_name"], content["images"][2]["file_name"] = "x/a.jpg", "y/a.jpg"
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="t.json: found 2 images a, expected one"):
        coco_ids_of(read_coco(tmp_path / "t.json"), other)
    in_folders = replace(other, files=("/data/y/a.jpg", "c-d.jpg", "x/a.jpg"))
    assert coco_ids_of(read_coco(tmp_path / "t.json"), in_folders).images == (2, 139, 7)
    with pytest.raises(DatasetError, match="t.json: found b/c-d.jpg for c-d.jpg and for z/c-d.jpg"):
        coco_ids_of(read_coco(tmp_path / "t.json"), replace(other, files=("y/a.jpg", "c-d.jpg", "z/c-d.jpg")))
    content["images"][0]["file_name"] = "a.jpg"
    content["images"][2]["file_name"] = "z.jpg"
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"t.json: found 0 images e\.f, expected one"):
        coco_ids_of(read_coco(tmp_path / "t.json"), other)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"score": float("nan")}, "found bbox [1, 2, 3, 4] and score nan, expected four finite"),
        ({"bbox": [1, 2, 3]}, "found bbox [1, 2, 3] and score 0.5, expected four finite numbers"),
        ({"bbox": [1, 2.5, 3, float("inf")]}, "found bbox [1, 2.5, 3, inf] and score 0.5"),
        ({"bbox": [1e308, 2, 1e308, 4]}, "found bbox [1E+308, 2, 1E+308, 4] and score 0.5"),
        ({"bbox": [1, 2, 3, 10**400]}, "found bbox [1, 2, 3, 1000"),
        ({"bbox": [1, 2, 3, "4"]}, "found bbox [1, 2, 3, '4'] and score 0.5, expected four"),
        ({"image_id": 8}, "found image_id 8, expected one of the 3 known"),
        ({"image_id": "7"}, "found image_id '7', expected one of the 3 known"),
        ({"image_id": 7.0}, "found image_id 7.0, expected one of the 3 known"),
        ({"category_id": 0}, "found category_id 0, expected one of the 3 known"),
        ({"category_id": True}, "found category_id True, expected one of the 3 known"),
    ],
)
def test_a_bad_entry_is_named(tmp_path, changed, message):
    path = results(tmp_path, [entry(), entry(**changed)])
    with pytest.raises(DatasetError) as error:
        read_coco_detections(path, images_of(), COCO_IDS)
    assert str(error.value).startswith(f"{path}: entry 2: {message}")
    assert len(str(error.value)) < len(str(path)) + 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": 7', ":1: column 16: found no json"),
        ("{}", ": found json dict, expected a list"),
        ('[{"image_id": 7}]', ": entry 1: found {'image_id': 7}, expected an object with image_id"),
        ("[5]", ": entry 1: found 5, expected an object with image_id, category_id, bbox, score"),
        (
            '[{"image_id":7,"category_id":3,"bbox":[1,2,3,4],"score":1e999999999999999999999}]',
            ": entry 1: found bbox [1, 2, 3, 4] and score inf, expected four finite numbers",
        ),
        (
            '[{"image_id":7,"category_id":3,"bbox":[1,2,3,1e999],"score":1}]',
            ": entry 1: found bbox [1, 2, 3, 1E+999] and score 1, expected four finite numbers",
        ),
        ("[" * 100_000, ": found json nested too deeply to be read"),
    ],
)
def test_a_file_that_is_not_a_result_file_is_an_error_of_one_line(tmp_path, text, message):
    path = results(tmp_path, text)
    with pytest.raises(DatasetError) as error:
        read_coco_detections(path, images_of(), COCO_IDS)
    assert str(error.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content["annotations"][1].update(bbox=[1, 2, -3, 4]),
         "annotation 2: found bbox [1.0, 2.0, -3.0, 4.0], expected a width and height of at least"),
        (lambda content: content["annotations"][1].update(area=-3),
         "annotation 2: found area -3, expected a number from 0 on"),
        (lambda content: content["annotations"][1].update(image_id=99),
         "annotation 2: found image_id 99, expected one of the 3 usable images"),
        (lambda content: [each.update(category_id=99) for each in content["annotations"]],
         "annotation 1: found category_id 99, expected one of the 3 categories (and 2 more)"),
        (lambda content: content["images"].clear() or content["annotations"].clear(),
         "found no image, expected at least one"),
        (lambda content: content["images"][0].update(id=139), "image 139: found this id again"),
    ],
)  # fmt: skip
def test_nothing_of_the_ground_truth_is_left_out(tmp_path, spoil, message):
    path = tmp_path / "t.json"
    write_coco_ground_truth(path, images_of(some_ground_truth()), COCO_IDS)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError) as error:
        read_coco_ground_truth(path, 0.0)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_negative_width_is_scored_as_pycocotools_does(tmp_path):
    """pycocotools leaves a box of negative area out (below every area range) and takes two negative sides for a box."""
    write_coco_ground_truth(tmp_path / "t.json", images_of(some_ground_truth()), COCO_IDS)
    good = [entry(bbox=[0, 0, 500, 375], score=0.8)]
    for bad in ([100, 50, -30, 20], [100, 50, 30, -20], [100, 50, -30, -20]):
        path = results(tmp_path, [entry(bbox=bad, score=0.9), *good])
        with contextlib.redirect_stdout(io.StringIO()):
            ground_truth = COCO(str(tmp_path / "t.json"))
            evaluation = COCOeval(ground_truth, ground_truth.loadRes(str(path)), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        images = read_coco_ground_truth(tmp_path / "t.json", 0.0)
        detections = read_coco_detections(path, images, images.coco_ids)
        assert detections.boxes[0].tolist() == [bad[0], bad[1], bad[0] + bad[2], bad[1] + bad[3]]
        score = score_coco(*coco_structures(images, detections))
        ours = [-1 if value is None else value for name, value in vars(score).items() if name != "class_ap"]
        assert ours == evaluation.stats.tolist()


def test_darknets_names_are_read_for_cocos_categories(tmp_path, caplog):
    images = replace(images_of(some_ground_truth()), names=("cat", "motorcycle", "tv"))
    write_coco_ground_truth(tmp_path / "t.json", images, COCO_IDS)
    found = read_coco_ground_truth(tmp_path / "t.json", 0.0, ("tvmonitor", "motorbike", "cat"))
    assert found.ground_truth.labels.tolist() == [2, 1, 2] and found.coco_ids.categories == (90, 3, 18)
    read = "read motorcycle as motorbike, tv as tvmonitor (Darknet's and COCO's names of the same classes)"
    assert caplog.messages == [f"{tmp_path}/t.json: {read}"]
