"""yolo.formats.voc_xml: the annotations of an image set as ground truth."""

import pytest

from tests.helpers.detection_files import voc_annotation
from yolo.errors import DatasetError
from yolo.formats.voc_xml import read_image_set, read_voc_ground_truth


@pytest.fixture
def annotations(tmp_path):
    (tmp_path / "1.xml").write_text(voc_annotation(("eel", 1, 2, 3, 4), size=(80, 100)))
    (tmp_path / "2.xml").write_text(voc_annotation(("cat", 5, 6, 7, 8), size=(9, 7)))
    return tmp_path


def test_the_classes_are_those_of_the_annotations_and_more(annotations):
    found = read_voc_ground_truth(annotations, ("1", "2"), more_names=("dog", "cat"))
    assert (found.names, found.ground_truth.labels.tolist()) == (("cat", "dog", "eel"), [2, 0])
    assert (found.image_ids, found.origin, found.sizes) == (("1", "2"), 1, None)
    assert found.ground_truth.boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_given_names_give_the_numbers(annotations):
    found = read_voc_ground_truth(annotations, ("1", "2"), ("eel", "emu", "cat"), more_names=("dog",))
    assert (found.names, found.ground_truth.labels.tolist()) == (("eel", "emu", "cat"), [0, 2])
    with pytest.raises(DatasetError, match="2.xml: found class 'cat', expected one of the names"):
        read_voc_ground_truth(annotations, ("1", "2"), ("eel", "emu"))


def test_sizes_are_read_when_they_are_needed(annotations):
    found = read_voc_ground_truth(annotations, ("1", "2"), needs_sizes=True)
    assert found.sizes.tolist() == [[80, 100], [9, 7]]
    (annotations / "2.xml").write_text("<annotation/>")
    with pytest.raises(DatasetError, match="2.xml: found size 0 x 0, expected the image's"):
        read_voc_ground_truth(annotations, ("1", "2"), needs_sizes=True)


def test_an_image_of_impossible_size_is_named(annotations):
    path = annotations / "2.xml"
    path.write_text(path.read_text().replace("<width>7<", "<width>1e30<"))
    with pytest.raises(DatasetError, match="2.xml: found size 1000.* x 9, expected the image's"):
        read_voc_ground_truth(annotations, ("1", "2"), needs_sizes=True)


def test_annotations_become_columns(tmp_path):
    (tmp_path / "000001.xml").write_text(voc_annotation(("dog", 1, 2, 3.5, 4, 0), ("cat", 5, 6, 7, 8, 1)))
    (tmp_path / "000002.xml").write_text(voc_annotation(("dog", 9, 9, 9, 9, 0)))
    (tmp_path / "000003.xml").write_text(voc_annotation())
    found = read_voc_ground_truth(tmp_path, ("000001", "000003", "000002"), more_names=["bird", "cat"])
    assert found.names == ("bird", "cat", "dog")
    assert found.ground_truth.image_index.tolist() == [0, 0, 2]
    assert found.ground_truth.labels.tolist() == [2, 1, 2]
    assert found.ground_truth.boxes.tolist() == [[1, 2, 3.5, 4], [5, 6, 7, 8], [9, 9, 9, 9]]
    assert found.ground_truth.difficult.tolist() == [False, True, False]


def test_images_without_objects_are_ordinary(tmp_path):
    (tmp_path / "000001.xml").write_text(voc_annotation())
    found = read_voc_ground_truth(tmp_path, ("000001",))
    assert found.names == () and found.ground_truth.boxes.shape == (0, 4)


def test_a_missing_annotation_and_an_inverted_ground_truth_are_named(tmp_path):
    (tmp_path / "000001.xml").write_text(voc_annotation(("cat", 1, 1, 2, 2, 0), ("cat", 5, 1, 4, 2, 0)))
    with pytest.raises(DatasetError, match=r"000002\.xml: not found"):
        read_voc_ground_truth(tmp_path, ("000002",))
    with pytest.raises(DatasetError, match=r"000001\.xml: object 2: found box 5\.0 1\.0 4\.0 2\.0"):
        read_voc_ground_truth(tmp_path, ("000001",))


def test_an_image_set_is_read_in_order(tmp_path):
    path = tmp_path / "test.txt"
    path.write_bytes(b"\xef\xbb\xbf000002\r\n\r\n  000001 \r\n")  # as a Windows editor saves it
    assert read_image_set(path) == ("000002", "000001")


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"000001.jpg\n000002.JPG\r\n", ("000001", "000002")),
        (b"JPEGImages/000001.jpg\n./000002\n", ("000001", "000002")),
        (b"day/1.png\nnight/1.png\n", ("day/1", "night/1")),
        (b"000001  1\n000002\t1\n", ("000001", "000002")),
        ("für\n".encode("utf-16"), ("für",)),
        (b"caf\xe9.jpg\n", (b"caf\xe9".decode(errors="surrogateescape"),)),
    ],
)
def test_rows_may_have_folders_endings_a_1_and_any_encoding(tmp_path, content, ids):
    (tmp_path / "set.txt").write_bytes(content)
    assert read_image_set(tmp_path / "set.txt") == ids


def test_a_class_with_two_names_is_one_class(tmp_path):
    (tmp_path / "1.xml").write_text(voc_annotation(("motorbike", 1, 1, 2, 2), ("tvmonitor", 1, 1, 2, 2)))
    found = read_voc_ground_truth(tmp_path, ("1",), more_names=("motorcycle", "cat", "sofa"))
    assert found.names == ("cat", "motorbike", "sofa", "tvmonitor")
    found = read_voc_ground_truth(tmp_path, ("1",), ("tv", "motorcycle"))
    assert found.names == ("tv", "motorcycle") and found.ground_truth.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no image name found"),
        ("000001\n000002  -1\n", r":2: found '000002  -1', expected one image name"),
        ("000001\n\n000001\n", r":3: found 000001 again, .* in .*test.txt:1"),
        ("a\0b\n", ":1: found .*expected one image name"),
        ("../1\n", ":1: found '../1', expected one image name without folder"),
    ],
)
def test_a_bad_image_set_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "test.txt"
    path.write_bytes(text.encode())
    with pytest.raises(DatasetError, match=message):
        read_image_set(path)
