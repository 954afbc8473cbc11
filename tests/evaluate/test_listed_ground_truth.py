"""yolo.evaluate.listed_ground_truth: a drawn data set becomes ground truth, and nothing of it is left out."""

import numpy as np
import pytest

from tests.helpers.tiny_data import NAMES, SIZE, write_image
from yolo.errors import DatasetError
from yolo.evaluate.listed_ground_truth import read_listed_ground_truth
from yolo.names_file import read_classes


@pytest.mark.parametrize("origin", [0.0, 1.0])
def test_listed_ground_truth_has_the_drawn_boxes(four, origin):
    found = read_listed_ground_truth(four.folder / "list.txt", NAMES, origin)
    assert (found.names, found.origin) == (NAMES, origin)
    assert found.image_ids == ("p0", "p1", "p2", "p3") and found.sizes.tolist() == [[*SIZE]] * 4
    drawn = [(at, box) for at, boxes in enumerate(four.boxes) for box in boxes]
    assert found.ground_truth.image_index.tolist() == [at for at, _ in drawn]
    assert found.ground_truth.labels.tolist() == [box[4] for _, box in drawn]
    expected = np.array([box[:4] for _, box in drawn]) + origin
    np.testing.assert_allclose(found.ground_truth.boxes, expected, rtol=0, atol=1e-12)
    assert not found.ground_truth.difficult.any()


def test_difficult_boxes_are_marked(four, tmp_path):
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard.txt").write_text("".join(f"{tmp_path}/hard/p{at}.png\n" for at in range(4)))
    (tmp_path / "hard/p2.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    four.data.write_text(four.data.read_text() + f"difficult={tmp_path}/hard.txt\n")
    found = read_listed_ground_truth(four.data, None, 0.0)
    assert found.ground_truth.difficult.sum() == 1
    (at,) = np.flatnonzero(found.ground_truth.difficult)
    assert found.ground_truth.boxes[at].tolist() == [16, 12, 48, 36]  # by hand in 64 x 48
    assert (found.ground_truth.image_index[at], found.ground_truth.labels[at]) == (2, 1)


def test_images_of_one_name_in_two_folders_are_two_images_and_one_image_twice_an_error(four):
    other = write_image(four.folder / "more/images/p1.jpg", np.zeros((*SIZE, 3), np.uint8))
    with open(four.folder / "list.txt", "a") as file:
        file.write(f"{other}\n")
    found = read_listed_ground_truth(four.folder / "list.txt", NAMES, 0.0)
    assert found.files == (*map(str, four.images), str(other))
    with open(four.folder / "list.txt", "a") as file:
        file.write(f"{four.images[1]}\n")
    with pytest.raises(DatasetError) as error:
        read_listed_ground_truth(four.folder / "list.txt", NAMES, 0.0)
    assert str(error.value) == (
        f"{four.folder}/list.txt:6: found {four.images[1]} again, expected it once (it is line 2)"
    )


def test_a_problem_that_would_stop_a_training_is_an_error(four):
    (four.folder / "labels/p1.txt").write_text("7 .5 .5 .5 .5\n0 .5 .5 .5 .5\n0 9 .5 .5 .5\n")
    with pytest.raises(DatasetError) as error:
        read_listed_ground_truth(four.folder / "list.txt", NAMES, 0.0)
    message = f"{four.folder}/labels/p1.txt:1: found class 7, expected 0 to 1"
    assert str(error.value) == f"label out of range: {message} (and 1 more)"
    four.images[0].unlink()
    with pytest.raises(DatasetError, match="image that is not there: .*p0.png: no such file"):
        read_listed_ground_truth(four.folder / "list.txt", NAMES, 0.0)


def test_images_without_labels_are_logged(four, caplog):
    for at in (1, 2):
        (four.folder / f"labels/p{at}.txt").unlink()
    found = read_listed_ground_truth(four.folder / "list.txt", NAMES, 0.0)
    assert len(found.files) == 4 and not {1, 2} & {*found.ground_truth.image_index.tolist()}
    (line,) = [record.getMessage() for record in caplog.records]
    what = f"2 x image without a label file, such as {four.images[1]}: looked for "
    assert line.startswith(f"{four.folder}/list.txt: {what}")


def test_a_name_given_twice_is_an_error(four):
    (four.folder / "tiny.names").write_text("red\nred\n")
    with pytest.raises(DatasetError, match="tiny.names:2: 'red' is line 1 already"):
        read_classes(four.folder / "tiny.names")
