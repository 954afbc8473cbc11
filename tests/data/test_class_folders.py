"""yolo.data.class_folders: which class an image has, by its folder or its path, and everything that cannot be used."""

from pathlib import Path

import pytest

from tests.helpers.tiny_data import draw, write_image
from yolo.data.check import BROKEN_IMAGE, MISSING_IMAGE
from yolo.data.class_folders import (
    NO_CLASS,
    SEVERAL_CLASSES,
    STRAY_FILE,
    UNKNOWN_FOLDER,
    UNSEEN_CLASS,
    ClassifiedImage,
    class_of,
    images_per_class,
    read_classified,
)
from yolo.data_file import read_data
from yolo.errors import DatasetError

NAMES = ["cat", "dog"]
LABELS = {"cat": 0, "dog": 1, "hotdog": 2}


def image(path):
    return write_image(path, draw([]))


def kinds(problems):
    return [problem.kind for problem in problems]


def test_a_folder_a_class_in_the_order_of_the_paths(tmp_path):
    for name in ("dog/b.png", "cat/z.png", "dog/a.jpg", "cat/deep/er/c.PNG"):
        image((tmp_path / name).with_suffix(".png"))
        (tmp_path / name).with_suffix(".png").rename(tmp_path / name)
    (tmp_path / "dog" / ".hidden").write_text("")
    (tmp_path / ".git").mkdir()
    images, problems = read_classified(tmp_path, NAMES)
    assert images == (
        ClassifiedImage(tmp_path / "cat/deep/er/c.PNG", 0),
        ClassifiedImage(tmp_path / "cat/z.png", 0),
        ClassifiedImage(tmp_path / "dog/a.jpg", 1),
        ClassifiedImage(tmp_path / "dog/b.png", 1),
    )
    assert problems == ()
    assert images_per_class(images, 3) == [2, 2, 0]


def test_what_is_no_image_of_a_class_in_a_folder_is_named(tmp_path):
    image(tmp_path / "cat/a.png")
    image(tmp_path / "bird/a.png")
    image(tmp_path / "loose.png")
    (tmp_path / "cat/notes.txt").write_text("")
    (tmp_path / "cat/broken.png").write_text("no image")
    images, problems = read_classified(tmp_path, NAMES)
    assert [each.path.name for each in images] == ["a.png"]
    assert kinds(problems) == [
        UNKNOWN_FOLDER,
        STRAY_FILE,
        STRAY_FILE,
        BROKEN_IMAGE,
        UNSEEN_CLASS,
    ]
    assert problems[0].message == f"{tmp_path}/bird: expected one of the 2 classes cat, dog"
    assert problems[1].message.startswith(f"{tmp_path}/cat/notes.txt: expected one of .jpg")
    assert "broken.png: found" in problems[3].message
    assert problems[4].message == f"{tmp_path}: found no usable image of class 1, 'dog'"


def test_a_file_named_as_a_class_is_no_folder_of_it(tmp_path):
    image(tmp_path / "cat/a.png")
    (tmp_path / "dog").write_text("")
    _, problems = read_classified(tmp_path, NAMES)
    assert kinds(problems) == [STRAY_FILE, UNSEEN_CLASS]


def test_a_list_gives_classes_by_its_lines_and_names_those_that_are_not_clear(tmp_path):
    image(tmp_path / "cat/1.png")
    image(tmp_path / "all/dog_2.png")
    lines = ["cat/1.png", "", "  all/dog_2.png \r", "cat/dog/3.png", "bird/4.png", "cat/5.png"]
    listed = tmp_path / "list.txt"
    listed.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    images, problems = read_classified(listed, NAMES)
    assert images == (
        ClassifiedImage(tmp_path / "cat/1.png", 0),
        ClassifiedImage(tmp_path / "all/dog_2.png", 1),
    )
    assert kinds(problems) == [SEVERAL_CLASSES, NO_CLASS, MISSING_IMAGE]
    start = f"{listed}:4: found the classes cat, dog in 'cat/dog/3.png', expected"
    assert problems[0].message.startswith(start)
    assert problems[1].message.startswith(f"{listed}:5: found no class in 'bird/4.png'")
    assert problems[2].message == "cat/5.png: no such file"


def test_the_folder_of_the_list_has_no_effect_on_classes(tmp_path):
    """Darknet searches the line as it is written."""
    image(tmp_path / "cat/data/dog/1.png")
    (tmp_path / "cat/data/list.txt").write_text("dog/1.png\n")
    images, problems = read_classified(tmp_path / "cat/data/list.txt", NAMES)
    assert [each.label for each in images] == [1]
    assert kinds(problems) == [UNSEEN_CLASS]


@pytest.mark.parametrize(
    ("path", "classes"),
    [
        ("data/dog/1.jpg", [1]),
        ("data/hotdog/1.jpg", [2]),  # a folder goes before "dog" within it
        ("hotdog/dog.jpg", [1, 2]),  # folder and file: two of the same kind
        ("train/0_cat.png", [0]),  # only within the path, as in Darknet
        ("train/0_hotdog.png", [1, 2]),
        ("C:\\data\\dog\\1.jpg", [1]),
        ("Dog/1.jpg", []),  # strstr heeds the case
        ("bird.jpg", []),
    ],
)
def test_the_class_of_a_path(path, classes):
    assert class_of(path, LABELS) == classes


def test_names_that_cannot_be_distinguished_are_refused(tmp_path):
    image(tmp_path / "cat/a.png")
    with pytest.raises(DatasetError, match="the class name 'cat' 2 times, expected"):
        read_classified(tmp_path, ["cat", "dog", "cat"])
    with pytest.raises(DatasetError, match="the class name '' 1 times"):
        read_classified(tmp_path, ["cat", ""])


def test_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none.txt").write_text("\n \n")
    (tmp_path / "zero.txt").write_bytes(b"cat/a\0")
    with pytest.raises(DatasetError, match="none: found no image, expected one folder a class"):
        read_classified(tmp_path / "none", NAMES)
    with pytest.raises(DatasetError, match="none.txt: found no image, expected one path a line"):
        read_classified(tmp_path / "none.txt", NAMES)
    with pytest.raises(DatasetError, match="zero.txt: found zero bytes"):
        read_classified(tmp_path / "zero.txt", NAMES)
    with pytest.raises(FileNotFoundError):
        read_classified(tmp_path / "absent", NAMES)


def test_gray_networks_read_images_as_gray(tmp_path):
    image(tmp_path / "cat/a.png")
    assert len(read_classified(tmp_path, ["cat"], channels=1).images) == 1
    (problem,) = (p for p in read_classified(tmp_path, ["cat"], channels=4).problems[:1])
    assert problem.kind == BROKEN_IMAGE and "4 channels" in problem.message


def test_a_data_file_may_have_labels_beside_names(tmp_path):
    """imagenet1k.data: `labels` are in the paths, `names` are shown."""
    data = tmp_path / "x.data"
    text = "classes=2\ntrain=a\nlabels=x.labels\nnames=x.names\ntop=5\n"
    data.write_text(text)
    read = read_data(data)
    assert (read.labels, read.names, read.top) == (Path("x.labels"), Path("x.names"), 5)
    data.write_text("classes=2\nnames=x.names\n")
    read = read_data(data)
    assert (read.labels, read.names, read.top) == (Path("x.names"), Path("x.names"), None)
    data.write_text(text.replace("top=5", "top=0"))
    with pytest.raises(DatasetError, match=r"x.data:5: top: found '0', expected a whole number"):
        read_data(data)
