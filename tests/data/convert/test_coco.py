"""yolo.formats.coco_annotations, yolo.data.convert.coco and their command: every label correct, every problem reported,
nothing half-written."""

import contextlib
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from yolo.data.convert.coco import OTHER_NAME, CocoSet, plan_coco
from yolo.data.convert.coco_layout import read_coco_folder
from yolo.data.convert.homes import label_homes
from yolo.data.convert.plan import PlannedFiles, planned_labels, planned_lists, write_files
from yolo.data.convert.voc import SCALED, SIZE_OF_IMAGE, TURNED
from yolo.data_file import read_data
from yolo.errors import DatasetError
from yolo.formats.coco_annotations import NO_BOX, OWN_ID, read_coco, read_coco_ground_truth
from yolo.formats.label_files import label_files, labeled_boxes, read_list, read_rows
from yolo.names_file import read_names

CAT_LABEL = "0.25 0.5 0.3 0.5"  # by hand in 100 x 80: (10 + 15)/100, (20 + 20)/80, 30/100, 40/80
# By hand, turned clockwise to 80 x 100: the left border is on top, so (x, y) is at (80 - y, x)
CAT_TURNED = "0 0.5 0.25 0.5 0.3"


def find_labels(image):
    return next(label_files(image))


def read_labels(path, classes):
    rows, faults = read_rows(path, classes)
    return labeled_boxes(rows), faults


def annotation(number=1, image_id=7, category_id=3, bbox=(10, 20, 30, 40), **more):
    box = {"bbox": list(bbox), "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": category_id, **box, **more}


def image(number=7, file_name="7.jpg", width=100, height=80):
    return {"id": number, "file_name": file_name, "width": width, "height": height}


def coco(images=None, annotations=None, categories=((18, "dog"), (3, "cat"))):
    return {
        "info": {"year": 2017},
        "images": [image()] if images is None else images,
        "annotations": [annotation()] if annotations is None else annotations,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }


def store(folder, content, name="instances.json", images="images/val"):
    """The annotation file on disk, and empty images of the names that it has."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    (folder / images).mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        for each in content["images"]:
            (folder / images / each["file_name"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / images / each["file_name"]).touch()
    return CocoSet(path, folder / images)


def converted(train, valid, out, names=None):
    plan = plan_coco([train], [valid], names)
    homes = label_homes(plan, out)
    files = PlannedFiles(planned_labels(plan, homes, keep_difficult=False), planned_lists(plan, homes, out, "coco"))
    write_files(files, homes)
    return plan, homes


def many(rng, images=12, boxes=60):
    """A file of unordered ids and boxes with all digits, some of them crowds."""
    entries = [image(1000 - 7 * at, f"{at:03}.jpg", *map(int, rng.integers(50, 900, 2))) for at in range(images)]
    rows = []
    for number in rng.permutation(boxes).tolist():
        entry = entries[rng.integers(images)]
        width, height = entry["width"], entry["height"]
        x, y = rng.uniform(0, width * 0.6), rng.uniform(0, height * 0.6)
        box = (x, y, rng.uniform(1, width - x), rng.uniform(1, height - y))
        row = annotation(number, entry["id"], int(rng.choice([3, 18])), box)
        outline = {"segmentation": [[1.5] * 8], "area": float(rng.uniform(1, 9))}
        rows.append({**row, **outline, "iscrowd": int(rng.random() < 0.2)})
    return coco(entries, rows)


def test_labels_lie_where_darknet_looks_and_lists_name_the_images(tmp_path):
    given, out = store(tmp_path, coco()), tmp_path / "out"
    converted(given, given, out)
    assert (tmp_path / "labels/val/7.txt").read_text() == f"0 {CAT_LABEL}\n"
    assert (out / "train.txt").read_text() == f"{tmp_path}/images/val/7.jpg\n"
    assert (out / "valid.txt").read_text() == (out / "train.txt").read_text()


def test_classes_are_the_categories_by_rising_id_also_without_boxes(tmp_path):
    given, out = store(tmp_path, coco()), tmp_path / "out"
    converted(given, given, out)
    data = read_data(out / "coco.data")
    assert read_names(data.names) == ["cat", "dog"] and data.classes == 2
    assert (data.train, data.valid) == (out / "train.txt", out / "valid.txt")
    assert data.difficult == out / "difficult.txt" and data.backup.is_dir()


def test_categories_whose_names_differ_only_in_case_are_noted(tmp_path):
    plan = plan_coco([store(tmp_path, coco(categories=((3, "cat"), (4, "Cat"), (5, "dog"))))], [], None)
    assert [each.message.partition(" (")[0] for each in plan.repairs] == ["'cat', 'Cat'"]


@pytest.mark.parametrize(
    ("category_id", "above", "names"),
    [
        (3, ("none", "cells", "cells"), ("red", "white")),  # as Roboflow writes it
        (0, ("none", "cells", "cells"), ("cells", "red", "white")),  # it has a box
        (3, ("none", "cells", "other"), ("cells", "red", "white")),
        (3, ("none", "none", "none"), ("cells", "red", "white")),
    ],
)
def test_a_category_that_only_groups_the_others_is_no_class(tmp_path, category_id, above, names):
    content = coco(
        annotations=[annotation(category_id=category_id)], categories=((0, "cells"), (3, "red"), (4, "white"))
    )
    for category, group in zip(content["categories"], above, strict=True):
        category["supercategory"] = group
    plan = plan_coco([store(tmp_path, content)], [], None)
    assert plan.names == names and [plan.names[row.label] for row in plan.train[0].rows] == [
        {0: "cells", 3: "red"}[category_id]
    ]
    assert ("cells" in names) == (not plan.repairs)


def test_given_names_choose_and_order_the_classes(tmp_path):
    rows = [annotation(1), annotation(2, category_id=18, bbox=(0, 0, 50, 40))]
    given = store(tmp_path, coco(annotations=rows))
    plan, _ = converted(given, given, tmp_path / "out", ["dog"])
    assert (tmp_path / "labels/val/7.txt").read_text() == "0 0.25 0.25 0.5 0.5\n"
    assert not plan.problems and plan.train[0].left_out == 0
    converted(given, given, tmp_path / "out", ["dog", "cat"])
    assert (tmp_path / "labels/val/7.txt").read_text().split("\n")[0] == f"1 {CAT_LABEL}"


def test_darknets_names_choose_cocos_categories(tmp_path, caplog):
    store(tmp_path, coco(annotations=[annotation(category_id=18)], categories=((18, "motorcycle"), (3, "cat"))))
    one = CocoSet(tmp_path / "instances.json", tmp_path / "images/val")
    plan = plan_coco([one], [], ["cat", "motorbike"])
    assert plan.names == ("cat", "motorbike") and plan.train[0].rows[0].label == 1
    assert "instances.json: read motorbike as motorcycle" in caplog.text


def test_a_name_that_is_no_category_is_an_error(tmp_path):
    given = store(tmp_path, coco())
    with pytest.raises(DatasetError, match=r"class 'eel' is none of the 2 categories .* cat, dog"):
        plan_coco([given], [given], ["cat", "eel"])


def test_crowd_boxes_are_in_no_label_and_those_of_valid_are_kept_apart(tmp_path):
    rows = [annotation(1), annotation(2, bbox=(0, 0, 100, 80), iscrowd=1)]
    given, out = store(tmp_path, coco(annotations=rows)), tmp_path / "out"
    converted(given, given, out)
    assert (tmp_path / "labels/val/7.txt").read_text() == f"0 {CAT_LABEL}\n"
    (aside,) = read_list(out / "difficult.txt")
    assert find_labels(aside).read_text() == "0 0.5 0.5 1.0 1.0\n"


def test_a_round_trip_gives_the_boxes_of_the_file_as_pycocotools_sees_it(tmp_path):
    given, out = store(tmp_path, many(np.random.default_rng(3))), tmp_path / "out"
    converted(given, given, out)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(given.annotations))
    number_of = {each["file_name"]: each["id"] for each in theirs.imgs.values()}
    ids = sorted(theirs.getCatIds())
    for path, aside in zip(read_list(out / "valid.txt"), read_list(out / "difficult.txt"), strict=True):
        image = theirs.imgs[number_of[path.name]]
        for crowd, labels in ((0, path), (1, aside)):
            found, faults = read_labels(find_labels(labels), 2)
            assert not faults
            rows = theirs.loadAnns(theirs.getAnnIds(image["id"], iscrowd=crowd))
            assert found.labels.tolist() == [ids.index(row["category_id"]) for row in rows]
            corner = found.boxes[:, :2] - found.boxes[:, 2:] / 2
            boxes = np.concatenate((corner, found.boxes[:, 2:]), axis=1)
            expected = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
            expected /= [image["width"], image["height"]] * 2
            np.testing.assert_allclose(boxes, expected, rtol=0, atol=1e-6)


def test_a_folder_that_darknet_has_no_rule_for_gets_a_link_in_out(tmp_path):
    given, out = store(tmp_path, coco(), images="val2017"), tmp_path / "out"
    converted(given, given, out)
    (listed,) = read_list(out / "valid.txt")
    assert listed == out / "val2017/JPEGImages/7.jpg"
    assert listed.resolve() == tmp_path / "val2017/7.jpg"
    assert find_labels(listed) == out / "val2017/labels/7.txt"
    assert [*(tmp_path / "val2017").iterdir()] == [tmp_path / "val2017/7.jpg"]
    converted(given, given, out)  # again: the link stays
    assert find_labels(listed).read_text() == f"0 {CAT_LABEL}\n"


def test_a_folder_that_cannot_be_written_gets_a_link_in_out(tmp_path):
    given, out = store(tmp_path, coco()), tmp_path / "out"
    (tmp_path / "labels").mkdir(mode=0o555)
    converted(given, given, out)
    (listed,) = read_list(out / "valid.txt")
    assert listed == out / "val/JPEGImages/7.jpg"
    assert find_labels(listed).read_text() == f"0 {CAT_LABEL}\n"


def test_folders_in_file_names_and_folders_of_one_name(tmp_path):
    images = [image(1, "a/x/1.jpg"), image(2, "b/x/1.jpg"), image(3, "a/images/1.jpg")]
    rows = [annotation(number, number) for number in (1, 2, 3)]
    given, out = store(tmp_path, coco(images, rows), images="p"), tmp_path / "out"
    converted(given, given, out)
    listed = read_list(out / "valid.txt")
    links = [out / "x/JPEGImages/1.jpg", out / "x-2/JPEGImages/1.jpg"]
    assert listed == [*links, tmp_path / "p/a/images/1.jpg"]
    assert [find_labels(path) for path in listed][2] == tmp_path / "p/a/labels/1.txt"
    assert all(find_labels(path).read_text() == f"0 {CAT_LABEL}\n" for path in listed)


@pytest.mark.parametrize(
    ("bbox", "kind", "found"),
    [
        ((10, 20, 0, 40), "box without an area", "bbox 10, 20, 0, 40 has no width or no height"),
        ((10, 20, 5, -4), "box without an area", "bbox 10, 20, 5, -4 has no width or no height"),
        ((-16, 20, 30, 40), "box outside the image", "has its center outside 7.jpg of 100 x 80"),
        ((94, 20, 14, 40), "box outside the image", "bbox 94, 20, 14, 40 has its center outside"),
        ((-0.9, 20, 1, 40), "box outside the image", "bbox -0.9, 20, 1, 40 has its center outside"),
        ((10, -20, 30, 30), "box outside the image", "bbox 10, -20, 30, 30 has its center outside"),
        ((10, 75, 30, 14), "box outside the image", "bbox 10, 75, 30, 14 has its center outside"),
    ],
)
def test_a_box_that_cannot_be_a_label_is_left_out_and_named(tmp_path, bbox, kind, found):
    rows = [annotation(41), annotation(42, bbox=bbox)]
    given = store(tmp_path, coco(annotations=rows))
    plan, _ = converted(given, given, tmp_path / "out")
    (problem,) = plan.problems
    assert problem.kind == kind
    assert problem.message.startswith(f"{given.annotations}: annotation 42: bbox ")
    assert found in problem.message
    assert (tmp_path / "labels/val/7.txt").read_text() == f"0 {CAT_LABEL}\n"
    assert plan.valid[0].left_out == 1
    assert kind in (tmp_path / "out/problems.txt").read_text()


@pytest.mark.parametrize(
    ("bbox", "label"),
    [  # by hand in 100 x 80
        ((-2, 20, 30, 40), "0 0.14 0.5 0.28 0.5"),  # 0 to 28
        ((90, 20, 12, 40), "0 0.95 0.5 0.1 0.5"),  # 90 to 100
        ((10, -2, 30, 40), "0 0.25 0.2375 0.3 0.475"),  # down to 38
        ((10, 50, 30, 40), "0 0.25 0.8125 0.3 0.375"),  # 50 to 80
        ((94, 60, 12, 40), "0 0.97 0.875 0.06 0.25"),  # the center is on the border: 94 to 100, 60 to 80
        ((-50, -40, 200, 160), "0 0.5 0.5 1.0 1.0"),
    ],
)
def test_a_box_up_to_half_outside_is_cut_kept_and_counted(tmp_path, bbox, label):
    given = store(tmp_path, coco(annotations=[annotation(41), annotation(42, bbox=bbox)]))
    plan, _ = converted(given, given, tmp_path / "out")
    row = (tmp_path / "labels/val/7.txt").read_text().splitlines()[1].split()
    assert list(map(float, row)) == pytest.approx(list(map(float, label.split())))
    (repair,) = plan.repairs
    assert repair.kind == "box cut at the border" and not plan.problems
    assert repair.message.startswith(f"{given.annotations}: annotation 42: bbox ")
    assert (plan.valid[0].clipped, plan.valid[0].left_out) == (1, 0)


def test_of_boxes_that_make_no_label_none_is_called_cut_at_the_border(tmp_path):
    outside, dog = annotation(41, bbox=(90, 0, 60, 80)), annotation(42, category_id=18, bbox=(60, 0, 60, 80))
    plan = plan_coco([], [store(tmp_path, coco(annotations=[annotation(), outside, dog]))], ["cat"])
    assert [problem.message for problem in plan.problems if "annotation 41" in problem.message]
    assert len(plan.problems) == 1 and not plan.repairs
    (planned,) = plan.valid
    assert (len(planned.rows), planned.left_out, planned.clipped) == (1, 1, 0)


def test_a_box_over_the_border_by_a_rounding_error_is_a_label(tmp_path):
    given = store(tmp_path, coco(annotations=[annotation(bbox=(0, 0, 100.04, 80))]))
    plan, _ = converted(given, given, tmp_path / "out")
    found, faults = read_labels(tmp_path / "labels/val/7.txt", 2)
    assert not plan.problems and not faults
    assert found.boxes[0].tolist() == pytest.approx([0.5002, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco([image(), image(8, "../")]), "image 8: found file_name '../', expected"),
        (coco([image(), image(8, "a\nb")]), r"image 8: found file_name 'a\nb', expected"),
        (coco([image(), {"id": 8, "width": 1, "height": 1}]), "image 8: found file_name None"),
        (coco([image(), image(8, "é" * 126 + ".jpg")]), " of 256 bytes, expected at most 255"),
        (coco([image(), image(8, "a" * 252 + ".j")]), " of 256 bytes, expected at most 255"),
        (coco([image(), image(8, "a" * 256 + "/8.jpg")]), "of 256 bytes, expected at most"),
        (coco([image(), image(8, "8", 0)]), "image 8: found width 0 and height 80, expected"),
        (coco([image(), image(8, "8", 9.5)]), "image 8: found width 9.5 and height 80"),
        (coco([image(), image("x8", "8")]), "image entry 2: found {'id': 'x8'"),
        (coco([image(), image("1_0", "8")]), "image entry 2: found {'id': '1_0'"),
        (coco([image(), image(True, "8")]), "image entry 2: found {'id': True"),
        (coco([image(), image(7, "8.jpg")]), "image 7: found this id again"),
        (coco([image(), 5]), "image entry 2: found 5, expected a whole number as id"),
        (coco([image(), image(8, "7.png")]), "7.png has the label file 7.txt of 7.jpg"),
        (coco([image(), image(8)]), "7.jpg has the label file 7.txt of the same image with"),
        (coco([image(9), image(8)], []), "image 8: 7.jpg is listed again"),
    ],
)  # fmt: skip
def test_a_bad_image_is_named_and_left_out(tmp_path, content, message):
    given = store(tmp_path, json.dumps(content))
    plan, _ = converted(given, given, tmp_path / "out")
    assert message in plan.problems[0].message
    assert plan.problems[0].message.startswith(f"{given.annotations}: image ")
    assert [each.name for each in plan.valid] == ["7.jpg"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (annotation(1), "annotation 1: found this id again, expected each once"),
        (annotation(2, image_id=99), "annotation 2: found image_id 99, expected one of the 1"),
        (annotation(2, image_id="7a"), "annotation 2: found image_id '7a', expected a whole"),
        (annotation(2, image_id=7.5), "annotation 2: found image_id 7.5, expected a whole"),
        (annotation(2, category_id=1), "annotation 2: found category_id 1, expected one of the 2"),
        (annotation(2, bbox=[1, 2, 3]), "annotation 2: found bbox [1, 2, 3], expected left, top"),
        (annotation(2, bbox=[1, 2, 3, "4x"]), "annotation 2: found bbox [1, 2, 3, '4x'], expected"),
        (annotation(2, bbox=[1, 2, 3, float("nan")]), "annotation 2: found bbox [1, 2, 3, nan]"),
        (annotation(2, bbox=[1, 2, 3, 10**400]), "annotation 2: found bbox [1, 2, 3, 1000"),
        (annotation(2, iscrowd=2), "annotation 2: found iscrowd 2, expected 0 or 1"),
        (annotation(2, bbox=[1, 2, 1e308, 4]), "annotation 2: found bbox [1, 2, 1e+308, 4]"),
        (annotation(2, area="big"), "annotation 2: found area 'big', expected a number"),
        (annotation(2, area=-3), "annotation 2: found area -3, expected a number from 0 on"),
        ({"id": 2, "image_id": 7}, "annotation 2: found category_id None, expected a whole number"),
        ({"image_id": 7}, "annotation entry 2: found category_id None, expected a whole number"),
        (annotation(2**70), "annotation entry 2: found {'id': 1180591620717411303424"),
        ("x", "annotation entry 2: found 'x', expected a whole number as id"),
    ],
)  # fmt: skip
def test_a_bad_annotation_is_named_and_left_out(tmp_path, entry, message):
    given = store(tmp_path, json.dumps(coco(annotations=[annotation(1), entry])))
    plan, _ = converted(given, given, tmp_path / "out")
    (problem,) = plan.problems
    assert problem.message.startswith(f"{given.annotations}: {message}")
    assert (tmp_path / "labels/val/7.txt").read_text() == f"0 {CAT_LABEL}\n"


def test_a_bad_annotation_changes_nothing_of_the_others(tmp_path):
    content = many(np.random.default_rng(6))
    del content["annotations"][0]["area"]
    good = read_coco(store(tmp_path, content).annotations)
    content["annotations"].insert(7, annotation(99, image_id=1))
    spoilt = read_coco(store(tmp_path, content).annotations)
    assert (len(good.problems), len(spoilt.problems)) == (0, 1)
    for name in ("ids", "image_index", "category_index", "boxes", "crowd", "areas"):
        assert np.array_equal(getattr(good, name), getattr(spoilt, name)), name
        assert getattr(good, name).dtype == getattr(spoilt, name).dtype
    first = content["annotations"][0]["bbox"]
    assert good.areas[0] == first[2] * first[3]


def test_the_annotations_of_a_bad_image_are_reported_with_it(tmp_path):
    content = coco(
        [image(), image(8, "8.jpg", 0), image(9, "9.jpg", -1)], [annotation(1), annotation(2, 8), annotation(3, 9)]
    )
    given = store(tmp_path, content)  # empty images, which give no size either
    plan, _ = converted(given, given, tmp_path / "out")
    assert sorted(each.message for each in plan.problems) == [
        f"{tmp_path}/instances.json: image {number}: found width {width} and height 80, expected whole pixels"
        for number, width in ((8, 0), (9, -1))
    ]


def without(content, kind, *keys, **more):
    """The same file without some keys of the entries of a list, and with others."""
    changed = [{key: value for key, value in each.items() if key not in keys} | more for each in content[kind]]
    return {**content, kind: changed}


AS_TEXTS = coco([image("007")], [annotation("1", "7", "3.0", ("10", 20.0, "30.0", "4e1"), area="9.5")], [("3", "cat")])
TWO = coco(annotations=[annotation(0), annotation(0, bbox=(0, 0, 10, 10))])


@pytest.mark.parametrize(
    ("content", "rows", "remarks"),
    [
        (AS_TEXTS, 1, 0),
        (coco([image(7, "7.jpg", 100.0, "80")]), 1, 0),
        (without(coco(), "annotations", "iscrowd", area=None), 1, 0),
        (without(coco(), "annotations", iscrowd=None), 1, 0),
        (without(coco(), "annotations", iscrowd=False), 1, 0),
        (without(coco(), "annotations", iscrowd="0"), 1, 0),
        (without(TWO, "annotations", "id"), 2, 2),
        (TWO, 2, 1),
    ],
)  # fmt: skip
def test_what_programs_write_besides_cocos_own_form_is_read_as_meant(tmp_path, content, rows, remarks):
    given = store(tmp_path, content)
    plan, _ = converted(given, given, tmp_path / "out")
    assert plan.problems == () and [each.kind for each in plan.repairs] == [OWN_ID] * remarks
    labels = (tmp_path / "labels/val/7.txt").read_text().splitlines()
    assert (labels[0], len(labels)) == (f"0 {CAT_LABEL}", rows)
    if remarks:  # pycocotools finds boxes by their ids, and would score others
        with pytest.raises(DatasetError, match="annotation entry .: found"):
            read_coco_ground_truth(given.annotations, 0.0)


@pytest.mark.parametrize(
    ("there", "file_name"),
    [
        ("7.jpg", "C:\\Users\\me\\images\\7.jpg"),
        ("7.jpg", "/data/upload/1/7.jpg"),
        ("7.jpg", "../images/7.jpg"),
        ("my 7.jpg", "https://host.org/a/my%207.jpg?sig=1/2"),
        ("7.jpg", "7.png"),
        ("7.JPG", "7.jpg"),
        ("7.jpg", "7"),
        ("v1.7.jpg", "a/v1.7"),
        ("cam/7.jpg", "/home/me/cam/7.jpg"),
    ],
)
def test_an_image_is_found_by_its_name_on_another_machine_or_with_another_ending(tmp_path, there, file_name):
    image_file(tmp_path / "set/images" / there)
    image_file(tmp_path / "set/images/cam2/7.jpg" if there.startswith("cam") else tmp_path / "set/images/8.jpg")
    (tmp_path / "set/result.json").write_text(json.dumps(coco([image(7, file_name)])))
    given = read_coco_folder(tmp_path / "set", whole=True).train
    plan = plan_coco(given, [], None)
    assert [each.path for each in plan.train] == [f"{tmp_path}/set/images/{there}"]
    from_the_set = file_name == "../images/7.jpg"
    assert plan.problems == () and [each.kind for each in plan.repairs] == [OTHER_NAME] * (not from_the_set)


def test_no_name_leads_out_of_the_folder_and_none_takes_the_image_of_another_folder(tmp_path):
    image_file(tmp_path / "secret/7.jpg")
    image_file(tmp_path / "images/cam/8.jpg")
    image_file(tmp_path / "images/9.jpg")
    entries = [image(1, "../secret/7.jpg"), image(2, "cam/9.jpg"), image(3, "10.jpg"), image(4, "cam/8.jpg")]
    given = store(tmp_path / "j", coco(entries, []), images="none")
    plan = plan_coco([CocoSet(given.annotations, tmp_path / "images")], [], None)
    assert [each.is_there for each in plan.train] == [False, False, False, True]


@pytest.mark.parametrize("bbox", [[], None])
def test_an_annotation_without_a_box_is_left_out_alone_but_a_file_without_any_box_is_an_error(tmp_path, bbox):
    entries = [annotation(1), {**annotation(2), "bbox": bbox}]
    given = store(tmp_path, coco(annotations=entries))
    plan, _ = converted(given, given, tmp_path / "out")
    (problem,) = plan.problems
    assert problem.kind == NO_BOX and problem.message.endswith(
        f"annotation 2: found bbox {bbox}, expected left, top, width and height"
    )
    with pytest.raises(DatasetError, match="instances.json: found no bbox in any of 1 annotations, expected"):
        plan_coco([store(tmp_path, coco(annotations=entries[1:]))], [], None)


def image_file(path, size=(100, 80), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, "JPEG", **more)


EXIF_6 = Image.Exif()
EXIF_6[0x0112] = 6  # the camera was held upright: the stored pixels are turned clockwise for display


@pytest.mark.parametrize(
    ("stated", "size", "exif", "label", "kinds"),
    [
        ((100, 80), (100, 80), {}, f"0 {CAT_LABEL}", []),
        ((None, None), (100, 80), {}, f"0 {CAT_LABEL}", [SIZE_OF_IMAGE]),
        ((80, 100), (100, 80), {}, f"0 {CAT_LABEL}", [SIZE_OF_IMAGE]),  # swapped
        ((100, 80), (50, 40), {}, f"0 {CAT_LABEL}", [SCALED]),  # the box reaches to 60 of 80: resized after annotation
        ((100, 80), (100, 80), {"exif": EXIF_6}, CAT_TURNED, [TURNED]),
        ((80, 100), (100, 80), {"exif": EXIF_6}, "0 0.3125 0.4 0.375 0.4", []),  # drawn on the turned image
    ],
)
def test_boxes_are_relative_to_the_image_as_it_is_read(tmp_path, stated, size, exif, label, kinds):
    image_file(tmp_path / "images/7.jpg", size, **exif)
    (tmp_path / "j.json").write_text(json.dumps(coco([image(7, "7.jpg", *stated)], categories=[(3, "cat")])))
    given = CocoSet(tmp_path / "j.json", tmp_path / "images")
    plan, _ = converted(given, given, tmp_path / "out")
    found = np.array((tmp_path / "labels/7.txt").read_text().split(), float)
    assert np.allclose(found, np.array(label.split(), float), atol=1e-15)
    assert plan.problems == () and [each.kind for each in plan.repairs] == kinds
    assert plan.train[0].turned == (TURNED in kinds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: column 1: found no json (Expecting value), the file is empty"),
        (json.dumps(coco())[:-9], "found no json ("),
        ('{"images": [\n', ":2: column 1: found no json (Expecting value), the file breaks off"),
        ("[" * 200_000, "found json nested too deeply to be read"),
        ("9" * 5000, "found json that cannot be read: Exceeds the limit"),
        ("\udcff", "found no text (byte 0), expected json"),
        ("[]", "found no list 'images' in list, expected the lists images, categories and"),
        ('{"images": 1}', "found no list 'images' in ['images'], expected the lists"),
        (json.dumps(coco(categories=[])), "found no category, expected at least one"),
        (json.dumps(coco(categories=[(3, "cat"), (3, "dog")])), "category 3: found id and name"),
        (json.dumps(coco(categories=[(3, "cat"), (4, "cat")])), "category 4: found id and name"),
        (json.dumps(coco(categories=[(3, "a\nb")])), r"category 3: found name 'a\nb', expected one"),
        (json.dumps(coco(categories=[(3, "\ud800")])), "category 3: found name"),
        (json.dumps(coco(categories=[("3a", "a")])), "category entry 1: found {'id': '3a'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_coco_annotations_is_one_line(tmp_path, text, message):
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DatasetError) as error:
        read_coco(path)
    assert message in str(error.value) and str(error.value).startswith(str(path))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_files_whose_categories_disagree_need_names(tmp_path):
    one = store(tmp_path / "a", coco())
    two = store(tmp_path / "b", coco(categories=[(3, "cat"), (18, "wolf")]))
    with pytest.raises(DatasetError, match="category 18 is 'wolf', in another file 'dog': choose"):
        plan_coco([one], [two], None)
    three = store(tmp_path / "c", coco(categories=[(3, "cat"), (19, "dog")]))
    with pytest.raises(DatasetError, match="category 'dog' has another id in another file"):
        plan_coco([one], [three], None)
    assert plan_coco([one], [three], ["dog", "cat"]).names == ("dog", "cat")


def test_an_interrupted_run_leaves_no_data_file(tmp_path, monkeypatch):
    given, out = store(tmp_path, coco()), tmp_path / "out"
    converted(given, given, out)

    def interrupt(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo.data.convert.plan.write_new", interrupt)
    with pytest.raises(KeyboardInterrupt):
        converted(given, given, out)
    assert not (out / "coco.data").exists()


def test_the_same_plan_gives_the_same_bytes(tmp_path):
    given, out = store(tmp_path, many(np.random.default_rng(4))), tmp_path / "out"

    def tree():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    converted(given, given, out)
    first = tree()
    converted(given, given, out)
    assert tree() == first and len(first) > 24


@pytest.fixture
def tool(load_tool, call_tool):
    module = load_tool("convert_coco")
    return lambda *arguments: call_tool(module, *arguments)


def test_the_tool_prints_what_there_is(tmp_path, tool):
    rows = [annotation(1), annotation(2, iscrowd=1), annotation(3, bbox=(0, 0, 0, 0))]
    given = store(tmp_path, coco(annotations=rows))
    pair = f"{given.annotations}:{given.images}"
    code, out, err = tool("--train", pair, "--valid", pair, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    table = [line.split() for line in out.splitlines()[:7]]
    assert table == [
        ["train", "valid"], ["images", "1", "1"], ["cat", "1", "1"], ["dog", "0", "0"],
        ["objects", "1", "1"], ["crowd,", "besides", "1", "1"], ["left", "out", "1", "1"],
    ]  # fmt: skip
    assert "left out: 1 x box without an area; all in" in out
    assert "images in both train and valid: 1" in out
    assert f"labels: {tmp_path}/labels/val\n" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--on-problem", "stop"], "1 x box without an area, nothing was written: "),
        (["--valid", "x.json"], "'x.json' is not JSON:IMAGES"),
        (["--valid", "x.json:."], "x.json: No such file or directory"),
    ],
)
def test_the_tool_stops_with_one_line_and_writes_nothing(tmp_path, tool, options, message):
    given = store(tmp_path, coco(annotations=[annotation(bbox=(0, 0, 0, 0))]))
    pair = f"{given.annotations}:{given.images}"
    code, _, err = tool("--train", pair, "--valid", pair, "--out", tmp_path / "out", *options)
    assert code == 2 and err.startswith(f"error: {message}") and err.count("\n") == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "labels").exists()


def test_the_tool_stops_for_a_name_too_long_and_writes_nothing(tmp_path, tool):
    given = store(tmp_path, json.dumps(coco([image(), image(8, "8" * 252 + ".jpg")])))
    before = sorted(tmp_path.rglob("*"))
    pair = f"{given.annotations}:{given.images}"
    code, _, err = tool("--train", pair, "--valid", pair, "--out", tmp_path / "out")
    assert code == 2 and "1 x unusable image entry, nothing was written: " in err
    assert err.count("\n") == 1 and sorted(tmp_path.rglob("*")) == before


def test_a_name_as_long_as_can_be_is_converted(tmp_path):
    name = "8" * 251
    given = store(tmp_path, coco([image(file_name=f"{name}.jpg")]))
    converted(given, given, tmp_path / "out")
    assert (tmp_path / f"labels/val/{name}.txt").read_text() == f"0 {CAT_LABEL}\n"


def test_the_tool_stops_for_a_bad_entry_without_the_option_to_skip_it(tmp_path, tool):
    given = store(tmp_path, coco(annotations=[annotation(1), annotation(2, image_id=9)]))
    pair = f"{given.annotations}:{given.images}"
    arguments = "--train", pair, "--valid", pair, "--out", tmp_path / "out"
    code, out, err = tool(*arguments)
    assert code == 2 and "annotation of an image that the file does not have" in err
    assert f"{given.annotations}: annotation 2: found image_id 9" in out
    assert tool(*arguments, "--on-problem", "skip")[0] == 0


def test_missing_images_are_reported_or_stop_the_tool(tmp_path, tool):
    given = store(tmp_path, coco([image(), image(8, "8.jpg")]))
    os.unlink(given.images / "7.jpg")
    pair = f"{given.annotations}:{given.images}"
    arguments = "--train", pair, "--valid", pair, "--out", tmp_path / "out"
    code, _, err = tool(*arguments, "--require-pictures")
    assert code == 2 and "1 image is not there, nothing was written: " in err
    assert f"images not there: 1 ({given.images}/7.jpg)" in tool(*arguments)[1]


@pytest.mark.parametrize("folder", ["images/vla", "images"])
def test_a_set_without_any_of_its_images_stops_and_makes_no_folders(tmp_path, tool, folder):
    given = store(tmp_path, coco([image(), image(8, "8.jpg")]))
    other = store(tmp_path, coco([image(9, "9.jpg")], []), "other.json", "photos")
    pair, wrong = (
        f"{given.annotations}:{given.images}",
        f"{given.annotations}:{tmp_path}/{folder}",
    )
    before = sorted(tmp_path.rglob("*"))
    for lists in (("--train", wrong, "--valid", pair),
                  ("--train", pair, "--valid", f"{other.annotations}:{other.images}", wrong)):  # fmt: skip
        code, out, err = tool(*lists, "--out", tmp_path / "out")
        option = "--train" if lists[1] == wrong else "--valid"
        assert (code, out) == (2, "") and err == (
            f"error: {option} {tmp_path}/{folder}: found none of the 2 images of {given.annotations}, "
            f"nothing was written: expected {tmp_path}/{folder}/7.jpg\n"
        )
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("given", "is_found"), [("val2017", False), ("train", True), ("D:/set", True)])
def test_images_of_another_list_are_not_those_of_an_annotation_file(tmp_path, given, is_found):
    (tmp_path / "images/train2017").mkdir(parents=True)
    (tmp_path / "images/train2017/1.jpg").touch()
    entry = {"id": 1, "file_name": f"{given}/1.jpg", "width": 9, "height": 9}
    (tmp_path / "a.json").write_text(json.dumps({"images": [entry], "categories": [], "annotations": []}))
    if is_found:
        assert read_coco_folder(tmp_path, whole=False).train[0].images == tmp_path / "images/train2017"
    else:
        with pytest.raises(DatasetError, match="found no val2017/1.jpg in or below"):
            read_coco_folder(tmp_path, whole=False)
