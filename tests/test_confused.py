"""yolo.evaluate.confused: by hand, and sums that must hold for any scene."""

from hypothesis import given, settings
from scenes import CLASSES, found_of, scenes, truth_of

from yolo.evaluate.confused import confusion_matrix


def test_by_hand():
    truths = [
        (0, 0, (0, 0, 4, 4), False),
        (0, 1, (6, 6, 10, 10), False),
        (1, 2, (0, 0, 4, 4), False),
        (1, 0, (6, 6, 10, 10), True),
    ]
    found = [
        (0, 0, 0.9, (0, 0, 4, 4)),  # right
        (0, 1, 0.8, (0, 0, 4, 4)),  # that place is taken: background
        (0, 2, 0.7, (6, 6, 10, 9)),  # the 1 taken for a 2
        (1, 2, 0.1, (0, 0, 4, 4)),  # below the threshold: the 2 is not found
        (1, 1, 0.9, (6, 6, 10, 10)),  # on a difficult one
    ]
    matrix = confusion_matrix(truth_of(truths), found_of(found), 3, 0.25, 0.5)
    assert matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]


@given(scenes(difficult=False))
@settings(max_examples=80, deadline=None)
def test_rows_are_all_truths_and_columns_all_detections(scene):
    truth, found = scene
    matrix = confusion_matrix(truth, found, CLASSES, 0.25, 0.5)
    for label in range(CLASSES):
        assert matrix[label].sum() == (truth.labels == label).sum()
        seen = (found.labels == label) & (found.scores >= 0.25)
        assert matrix[:, label].sum() == seen.sum()
    assert matrix[CLASSES, CLASSES] == 0
