"""yolo.detect.track: objects keep their numbers; trails, and counts of a line."""

import sys

import numpy as np
import pytest

from tests.helpers.box_rows import detections_in_image
from yolo.detect.track import UNNUMBERED, LineCounter, SourceTracks, Tracker, Trails, centers_of, crossing
from yolo.errors import MissingPackageError


def two_objects(step):
    """One moves to the right, one to the left; the order in the detections changes from frame to frame."""
    rows = [
        (10 + 4 * step, 10, 40 + 4 * step, 40, 0.9, 0),
        (200 - 4 * step, 80, 230 - 4 * step, 110, 0.8, 1),
    ]
    return detections_in_image(*(rows if step % 2 else rows[::-1]))


def test_an_object_keeps_its_number_at_any_place_in_the_detections():
    tracker = Tracker(30.0, 0.25)
    numbers = {}
    for step in range(10):
        found = two_objects(step)
        for label, track in zip(found.labels.tolist(), tracker.update(found).tolist(), strict=True):
            if step >= 2:
                numbers.setdefault(label, set()).add(track)
    assert all(len(tracks) == 1 for tracks in numbers.values())
    assert numbers[0] != numbers[1] and UNNUMBERED not in numbers[0] | numbers[1]


def test_a_frame_without_objects_is_ordinary_and_a_hidden_object_comes_back():
    tracker = Tracker(30.0, 0.25)
    for step in range(5):
        first = tracker.update(two_objects(step))
    assert tracker.update(detections_in_image()).shape == (0,)
    again = tracker.update(two_objects(6))
    assert sorted(first.tolist()) == sorted(again.tolist())


def test_every_threshold_of_a_detector_can_be_tracked():
    tracker = Tracker(30.0, 0.05)
    for step in range(4):
        tracks = tracker.update(detections_in_image((10 + step, 10, 40 + step, 40, 0.06, 0)))
    assert tracks.tolist() != [UNNUMBERED]


@pytest.mark.parametrize(
    "start, end, expected",
    [
        ((40, 10), (60, 10), -1),  # a line that goes down: its left is where x is larger
        ((60, 10), (40, 10), 1),
        ((40, 10), (45, 10), 0),
        ((40, 200), (60, 200), 0),  # past the line's end
        ((40, 10), (40, 10), 0),
    ],
)
def test_a_crossing_counts_by_its_direction_and_only_within_the_line(start, end, expected):
    assert crossing(start, end, (50, 0, 50, 100)) == expected
    assert crossing(start, end, (50, 100, 50, 0)) == -expected


def test_a_line_counts_each_object_once_for_each_crossing():
    counter = LineCounter((0, 50, 100, 50))  # to the right: its left is above
    for y in (10, 40, 50, 60, 90):
        counter.update({1: (30, y), 2: (60, 100 - y)})
    assert (counter.left_to_right, counter.right_to_left) == (1, 1)
    counter.update({1: (30, 20)})
    assert (counter.left_to_right, counter.right_to_left) == (1, 2)


def test_centers_are_those_of_numbered_objects():
    found = detections_in_image((0, 0, 10, 20, 0.9, 0), (5, 5, 7, 7, 0.8, 0))
    assert centers_of(found, np.array([4, UNNUMBERED])) == {4: (5.0, 10.0)}


def test_trails_are_drawn_for_the_objects_of_the_frame_alone():
    trails = Trails()
    for step in range(40):
        trails.update({0: (10 + step, 20), 1: (10 + step, 60)})
    image = np.zeros((80, 100, 3), np.uint8)
    trails.draw(image, np.array([0, UNNUMBERED]))
    rows, columns = np.nonzero(image.any(axis=2))
    assert set(rows) <= set(range(18, 23)) and columns.max() >= 48
    assert columns.min() >= 17  # the last 30 points: 20 to 49


def test_a_source_counts_what_its_tracker_numbers():
    tracks = SourceTracks(0.25, 1, (30, 0, 30, 200))
    for step in range(12):
        tracks.update(two_objects(step))
    # the first object's center goes from x = 25 to 69, to the line's left as it points down
    assert (tracks.counter.left_to_right, tracks.counter.right_to_left) == (0, 1)


def test_without_the_package_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(MissingPackageError, match=r"--track needs .* pip install 'yolo-darknet\[track\]'"):
        SourceTracks(0.25, 1, None)
