"""yolo.data.convert.voc with images: sizes come from the files, boxes of turned JPEGs are turned, and only the bad
parts of an annotation are left out."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.convert.test_voc import CAT, CAT_LABEL, annotation
from yolo.data.convert import voc as convert
from yolo.data.convert.voc import examine, plan_voc
from yolo.data.convert.voc_layout import read_folder
from yolo.data.images import read_image

ORIENTATION = 0x0112  # EXIF's tag


def pair(folder, size=(100, 80), ending=".jpg", said=(100, 80), objects=(CAT,), orientation=None):
    """An image of `size` (width, height) and an annotation that says `said`; None: nothing."""
    image, path = folder / f"a{ending}", folder / "a.xml"
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    Image.new("RGB", size).save(image, exif=exif)
    text = annotation(objects, said or (0, 0))
    path.write_text(text if said else text.replace("<size><width>0</width><height>0</height></size>", ""))
    return str(path), str(image)


def label_of(found):
    return tuple(map(float, found.objects[0][2].split()))


CAT_UNIT = tuple(map(float, CAT_LABEL.split()))


@pytest.mark.parametrize("said", [(0, 0), (0, 80), (80, 100), (640, 480), (99, 80), None])
@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif"])
def test_a_size_that_is_missing_swapped_or_wrong_is_the_images(tmp_path, said, ending):
    found = examine(pair(tmp_path, ending=ending, said=said), None)
    assert label_of(found) == pytest.approx(CAT_UNIT) and not found.problems
    (repair,) = found.repairs
    width, height = said or (0, 0)
    assert repair.kind == convert.SIZE_OF_IMAGE
    assert repair.message == f"{tmp_path}/a.xml: found size {width} x {height}, the image has 100 x 80"


def test_a_size_that_is_no_number_is_the_images_and_an_error_without_an_image(tmp_path):
    path, image = pair(tmp_path)
    text = (tmp_path / "a.xml").read_text().replace("<width>100", "<width>big")
    (tmp_path / "a.xml").write_text(text)
    assert label_of(examine((path, image), None)) == pytest.approx(CAT_UNIT)
    (problem,) = examine((path, None), None).problems
    assert problem.kind == convert.NO_SIZE and "<width> is 'big'" in problem.message


def test_a_right_size_is_no_repair_and_an_image_that_cannot_be_read_changes_nothing(tmp_path):
    path, image = pair(tmp_path)
    assert examine((path, image), None).repairs == ()
    content = (tmp_path / "a.jpg").read_bytes()
    height = content.index(b"\xff\xc0") + 5  # in the frame's header
    for damaged in (b"no image", content[:height] + bytes(2) + content[height + 2 :]):
        (tmp_path / "a.jpg").write_bytes(damaged)
        found = examine((path, image), None)
        assert label_of(found) == pytest.approx(CAT_UNIT) and not found.repairs


def marked(folder, orientation, box):
    """A JPEG of 100 x 80 stored pixels, black with one white box (VOC's pixels), that a viewer turns by EXIF."""
    pixels = np.zeros((80, 100, 3), np.uint8)
    xmin, ymin, xmax, ymax = box
    pixels[ymin - 1 : ymax, xmin - 1 : xmax] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(folder / "a.jpg", exif=exif, quality=95)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_pixels_are_turned_with_the_image(tmp_path, orientation):
    box = (11, 21, 42, 72)
    marked(tmp_path, orientation, box)
    (tmp_path / "a.xml").write_text(annotation([("cat", box, 0)]))  # says 100 x 80, as stored
    found = examine((str(tmp_path / "a.xml"), str(tmp_path / "a.jpg")), None)
    white = read_image(tmp_path / "a.jpg", 1)[:, :, 0] > 127  # as training reads it
    assert white.shape == (100, 80)
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    cx, cy, width, height = label_of(found)
    # voc_label's box ends before the last pixel, so an edge may be a pixel off
    assert ((cx - width / 2) * 80, (cx + width / 2) * 80) == pytest.approx((columns[0], columns[-1] + 1), abs=1.01)
    assert ((cy - height / 2) * 100, (cy + height / 2) * 100) == pytest.approx((rows[0], rows[-1] + 1), abs=1.01)
    assert (found.turned, found.repairs[0].kind) == (1, convert.TURNED)


def test_boxes_of_the_turned_image_stay(tmp_path):
    found = examine(pair(tmp_path, (80, 100), said=(100, 80), orientation=6), None)
    assert label_of(found) == pytest.approx(CAT_UNIT) and (found.turned, found.repairs) == (0, ())


def test_a_box_that_fits_only_the_stored_pixels_decides_where_the_size_is_missing(tmp_path):
    wide = ("cat", (81, 21, 100, 61), 0)  # stored 100 x 80, shown 80 x 100
    found = examine(pair(tmp_path, said=None, objects=[wide], orientation=6), None)
    # by hand: turned clockwise, (x, y) → (80 - y, x): x 20 to 60 of 80, y 80 to 99 of 100
    assert label_of(found) == pytest.approx((0.5, 0.895, 0.5, 0.19)) and found.turned == 1


def test_an_image_whose_size_does_not_decide_is_named(tmp_path):
    found = examine(pair(tmp_path, orientation=3), None)
    assert label_of(found) == pytest.approx(CAT_UNIT)
    assert [each.kind for each in found.repairs] == [convert.NOT_TURNED]


def test_a_data_set_resized_after_annotation_is_converted_in_the_size_of_its_annotations(tmp_path):
    for name, box in (("proof", (111, 21, 131, 61)), ("other", (11, 21, 31, 61))):
        Image.new("RGB", (100, 80)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.xml").write_text(annotation([("cat", box, 0)], (200, 160)))
    plan = plan_voc(read_folder(tmp_path, False), None)
    boxes = {image.name: tuple(map(float, image.rows[0].box.split())) for image in plan.train}
    # by hand in 200 x 160: (121 - 1)/200, (41 - 1)/160, 20/200, 40/160
    assert boxes["proof.png"] == pytest.approx((0.6, 0.25, 0.1, 0.25))
    assert boxes["other.png"] == pytest.approx((0.1, 0.25, 0.1, 0.25))
    assert [each.kind for each in plan.repairs] == [convert.SCALED] * 2
    (tmp_path / "proof.xml").unlink()  # without proof, the size is only wrong
    (image,) = plan_voc(read_folder(tmp_path, False), None).train
    assert tuple(map(float, image.rows[0].box.split())) == pytest.approx(CAT_UNIT)


def test_a_bad_object_is_left_out_alone(tmp_path):
    path, image = pair(tmp_path, objects=[("cat", (5, 5, 9, 9), "sometimes"), CAT, ("", (5, 5, 9, 9), 0)])
    found = examine((path, image), None)
    assert found.objects == (("cat", False, CAT_LABEL),) and found.left_out == 2
    assert [(each.kind, each.message) for each in found.problems] == [
        (convert.BAD_OBJECT, f"{path}: object 1: <difficult> is 'sometimes', expected 0 or 1"),
        (convert.BAD_OBJECT, f"{path}: object 3: <name> is '', expected a class on one line"),
    ]


def test_an_image_of_another_name_is_found_by_the_filename(tmp_path):
    (tmp_path / "7.xml").write_text(
        annotation([CAT], (0, 0)).replace("<size>", r"<filename>C:\x\pic.PNG</filename><size>")
    )
    cv2.imwrite(str(tmp_path / "pic.PNG"), np.zeros((80, 100, 3), np.uint8))
    (image,) = plan_voc(read_folder(tmp_path, False), None).train
    assert (image.name, image.is_there, image.rows[0].box) == ("pic.PNG", True, CAT_LABEL)


@pytest.mark.parametrize("filename", ["pic.png", "Pic", "PIC.JPG", "/home/me/pic.jpeg"])
def test_the_filename_may_differ_in_case_and_ending(tmp_path, filename):
    text = annotation([CAT], (0, 0)).replace("<size>", f"<filename>{filename}</filename><size>")
    (tmp_path / "7.xml").write_text(text)
    cv2.imwrite(str(tmp_path / "pic.PNG"), np.zeros((80, 100, 3), np.uint8))
    assert [image.name for image in plan_voc(read_folder(tmp_path, False), None).train] == ["pic.PNG"]
    (tmp_path / "8.xml").write_text(text)  # which of both is it?
    assert plan_voc(read_folder(tmp_path, False), None).train == ()


def test_an_annotation_whose_name_differs_in_case_has_its_image(tmp_path):
    for name in ("IMG_1.JPG", "Img_2.jpg", "img_2.JPG"):
        (tmp_path / name).touch()
    for name in ("img_1.xml", "img_2.xml", "IMG_2.xml"):
        (tmp_path / name).write_text(annotation([CAT]))
    entries = read_folder(tmp_path, True).train
    found = {os.path.basename(each.annotation): each.image and each.name for each in entries}
    assert found == {"img_1.xml": "IMG_1.JPG", "img_2.xml": "img_2.JPG", "IMG_2.xml": None}  # two are like the last


def test_two_images_of_one_label_file_are_a_problem(tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.xml", "a.png.xml"):
        (tmp_path / name).write_text(annotation([CAT]) if name.endswith("xml") else "")
    plan = plan_voc(read_folder(tmp_path, False), None)
    assert [image.name for image in plan.train] == ["a.jpg"]
    assert [each.kind for each in plan.problems] == ["images that share a label file"]


def test_class_names_that_differ_only_in_case_are_noted(tmp_path):
    pair(tmp_path, objects=[CAT, ("Cat", (5, 5, 9, 9), 0), ("dog", (5, 5, 9, 9), 0)])
    plan = plan_voc(read_folder(tmp_path, False), None)
    assert plan.names == ("Cat", "cat", "dog")
    assert [each.message.partition(" (")[0] for each in plan.repairs] == ["'Cat', 'cat'"]
