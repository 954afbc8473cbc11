"""yolo.data.shapes and its tool: a data set that is the same every time, boxes tight."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from yolo.data.shapes import CLASSES, MIN_SIDE, DrawnShape, _mask, _tight, draw_image, write_shapes
from yolo.errors import DatasetError
from yolo.formats.voc_xml import read_annotation

SIZE = (96, 130)  # height, width


@pytest.fixture(scope="module")
def images():
    """300 images and their shapes."""
    return [draw_image(np.random.default_rng((7, number)), SIZE) for number in range(300)]


def test_images_have_the_size_asked_for_and_some_shapes(images):
    for image, shapes in images[:20]:
        assert image.shape == (*SIZE, 3) and image.dtype == np.uint8
        assert 1 <= len(shapes) <= 4


def test_boxes_lie_in_the_image_and_are_large_enough(images):
    for _, shapes in images[:100]:
        for shape in shapes:
            assert shape.xmin >= 1 and shape.xmax <= SIZE[1]
            assert shape.ymin >= 1 and shape.ymax <= SIZE[0]
            assert min(shape.xmax - shape.xmin, shape.ymax - shape.ymin) + 1 >= 14


def test_boxes_overlap_little(images):
    def iou(a, b):  # of inclusive pixels, by counting them
        grid = np.zeros((2, *SIZE), bool)
        for layer, shape in zip(grid, (a, b), strict=True):
            layer[shape.ymin - 1 : shape.ymax, shape.xmin - 1 : shape.xmax] = True
        return (grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum()

    found = [iou(shapes[i], shapes[j]) for _, shapes in images[:200] for i in range(len(shapes)) for j in range(i)]
    assert 0 < max(found) < 0.3


def test_a_box_is_tight_around_what_is_drawn():
    # by hand: a circle of radius 12 pixels around the pixel border at (40, 30) covers 28..51 from 0
    box = _tight("circle", _mask("circle", (40, 30), 12, 0.0, SIZE))
    assert box == DrawnShape("circle", 29, 19, 52, 42)


def test_a_shape_is_visible_inside_its_box(images):
    for image, shapes in images[:30]:
        for shape in shapes:
            inside = image[shape.ymin - 1 : shape.ymax, shape.xmin - 1 : shape.xmax].astype(float)
            assert inside.std() > 10


def test_all_classes_come_about_equally_often(images):
    names = [shape.name for _, shapes in images for shape in shapes]
    fractions = [names.count(name) / len(names) for name in CLASSES]
    assert min(fractions) > 0.25


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_shapes(tmp_path / folder, 3, 2, seed, SIZE)
    a, b, c = [
        {path.relative_to(tmp_path / folder): path.read_bytes()
         for path in sorted((tmp_path / folder).rglob("*")) if path.is_file()}
        for folder in "abc"
    ]  # fmt: skip
    assert len(a) == 5 + 5 + 2
    assert a == b and a != c


def test_annotations_say_what_was_drawn(tmp_path):
    write_shapes(tmp_path, 2, 1, 5, SIZE)
    sets = tmp_path / "ImageSets" / "Main"
    assert (sets / "train.txt").read_text() == "shape_00001\nshape_00002\n"
    assert (sets / "val.txt").read_text() == "shape_00003\n"
    annotation = read_annotation(tmp_path / "Annotations" / "shape_00003.xml")
    _, shapes = draw_image(np.random.default_rng((5, 3)), SIZE)
    assert (annotation.height, annotation.width) == SIZE
    assert [DrawnShape(o.name, int(o.xmin), int(o.ymin), int(o.xmax), int(o.ymax)) for o in annotation.objects] == list(
        shapes
    )
    image = cv2.imread(str(tmp_path / "JPEGImages" / "shape_00003.jpg"))
    assert image.shape == (*SIZE, 3)


def test_a_folder_of_other_images_is_left_alone(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "JPEGImages" / "000001.jpg").touch()
    with pytest.raises(DatasetError, match="other images"):
        write_shapes(tmp_path, 1, 1, 1, SIZE)
    assert len(list(tmp_path.rglob("*"))) == 2


@pytest.mark.parametrize(("train", "size"), [(0, SIZE), (1, (MIN_SIDE - 1, 200))])
def test_nothing_to_draw_and_too_small_to_draw_are_refused(tmp_path, train, size):
    with pytest.raises(DatasetError):
        write_shapes(tmp_path / "x", train, 1, 1, size)
    assert not (tmp_path / "x").exists()


def test_the_tool_draws_and_refuses(project, tmp_path):
    def tool(*arguments):
        command = [sys.executable, project / "tools" / "make_shapes.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = tool("--out", tmp_path / "s", "--train", "2", "--valid", "1", "--size", "80x64")
    assert done.returncode == 0 and str(tmp_path / "s") in done.stdout
    assert len(list((tmp_path / "s" / "JPEGImages").glob("*.jpg"))) == 3
    wrong = tool("--out", tmp_path / "t", "--size", "big")
    assert wrong.returncode == 2 and "argument --size: found 'big', expected WIDTHxHEIGHT" in wrong.stderr
    assert not (tmp_path / "t").exists()
