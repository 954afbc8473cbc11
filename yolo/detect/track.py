"""Track objects over the frames of a video by ByteTrack, draw their trails, and count those that cross a line.

ByteTrack: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box" (2022), as in the package
`trackers` (Apache License 2.0) with `supervision` (MIT).
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field

import cv2
import numpy as np

from yolo.detect.draw import class_color, pen_for
from yolo.extras import import_extra
from yolo.records import Detections

TRAIL_POINTS = 30  # frames that a trail reaches back
TRACKER_RATE = 30.0  # frames per second; ByteTrack keeps a hidden object for one second of them
UNNUMBERED = -1  # the track of a detection that was not detected often enough
Point = tuple[float, float]
Line = tuple[float, float, float, float]  # x1, y1, x2, y2 in image pixels


class Tracker:
    """Numbers for the objects of one video, frame after frame.

    rate: frames per second; hidden objects are kept for one second. score_thresh: the detector's; objects begin with
    scores above it. Raises MissingPackageError if the package is not installed.
    """

    def __init__(self, rate: float, score_thresh: float) -> None:
        trackers = import_extra("trackers", "track", "--track")
        self._supervision = import_extra("supervision", "track", "--track")
        self._tracker = trackers.ByteTrackTracker(
            frame_rate=rate,
            track_activation_threshold=score_thresh,
            high_conf_det_threshold=score_thresh,
        )

    def update(self, found: Detections) -> np.ndarray:
        """Return the number of each detection's object, int64 `[N]`, from 0; UNNUMBERED until its second frame."""
        rows = self._supervision.Detections(
            xyxy=found.boxes.numpy().reshape(-1, 4),
            confidence=found.scores.numpy(),
            class_id=found.labels.numpy(),
            data={"row": np.arange(len(found))},
        )
        tracked = self._tracker.update(rows)
        tracks = np.full(len(found), UNNUMBERED, np.int64)
        if len(tracked):
            tracks[tracked.data["row"]] = tracked.tracker_id
        return tracks


@dataclass
class LineCounter:
    """How many objects crossed a line: `left_to_right` and `right_to_left` for someone who walks from its start."""

    line: Line
    left_to_right: int = 0
    right_to_left: int = 0
    _last: dict[int, Point] = field(default_factory=dict)

    def update(self, centers: dict[int, Point]) -> None:
        """Count the objects whose centers, by track number, crossed the line since their last frame."""
        for track, center in centers.items():
            if track in self._last:
                turn = crossing(self._last[track], center, self.line)
                self.left_to_right += turn > 0
                self.right_to_left += turn < 0
            self._last[track] = center


class Trails:
    """The last centers of each object."""

    def __init__(self) -> None:
        self._points: dict[int, deque[Point]] = defaultdict(lambda: deque(maxlen=TRAIL_POINTS))

    def update(self, centers: dict[int, Point]) -> None:
        """Add the centers of one frame, by track number."""
        for track, center in centers.items():
            self._points[track].append(center)

    def draw(self, image: np.ndarray, tracks: np.ndarray) -> None:
        """Draw the trails of `tracks` into an image `[H, W, 3]`."""
        width = pen_for(image).line
        for track in tracks[tracks != UNNUMBERED].tolist():
            points = np.array(self._points[track]).round().astype(np.int32)
            cv2.polylines(image, [points], False, class_color(track), width, cv2.LINE_AA)


class SourceTracks:
    """The state of tracking for one source: numbers, trails, and the count of a line if there is one."""

    def __init__(self, score_thresh: float, every: int, line: Line | None) -> None:
        self._tracker = Tracker(TRACKER_RATE / every, score_thresh)
        self.trails = Trails()
        self.counter = None if line is None else LineCounter(line)

    def update(self, found: Detections) -> np.ndarray:
        """Return the numbers of a frame's objects, as `Tracker.update` does."""
        tracks = self._tracker.update(found)
        centers = centers_of(found, tracks)
        self.trails.update(centers)
        if self.counter is not None:
            self.counter.update(centers)
        return tracks


def centers_of(found: Detections, tracks: np.ndarray) -> dict[int, Point]:
    """Return the centers of the numbered detections, by track number."""
    boxes = found.boxes.tolist()
    return {
        int(track): ((x1 + x2) / 2, (y1 + y2) / 2)
        for track, (x1, y1, x2, y2) in zip(tracks, boxes, strict=True)
        if track != UNNUMBERED
    }


def crossing(start: Point, end: Point, line: Line) -> int:
    """Return 1 if the way from `start` to `end` crosses the line from left to right, -1 the other way, else 0.

    Left and right are seen from (x1, y1) to (x2, y2) in an image, whose y grows downwards.
    """
    x1, y1, x2, y2 = line
    before, after = (_side((x1, y1), (x2, y2), point) for point in (start, end))
    if (before < 0) == (after < 0):
        return 0
    first, second = (_side(start, end, point) for point in ((x1, y1), (x2, y2)))
    if (first < 0) == (second < 0):
        return 0
    return 1 if after >= 0 else -1


def draw_line(image: np.ndarray, counter: LineCounter) -> None:
    """Draw the line and its two counts into an image `[H, W, 3]`."""
    pen = pen_for(image)
    x1, y1, x2, y2 = (round(value) for value in counter.line)
    cv2.line(image, (x1, y1), (x2, y2), (255, 255, 255), 2 * pen.line, cv2.LINE_AA)
    text = f"{counter.left_to_right} / {counter.right_to_left}"
    place = (max(0, (x1 + x2) // 2), max(pen.text_height, (y1 + y2) // 2 - pen.padding))
    font = cv2.FONT_HERSHEY_DUPLEX
    cv2.putText(image, text, place, font, pen.scale, (0, 0, 0), 3 * pen.stroke, cv2.LINE_AA)
    cv2.putText(image, text, place, font, pen.scale, (255, 255, 255), pen.stroke, cv2.LINE_AA)


def _side(start: Point, end: Point, point: Point) -> float:
    """Return a number: positive to the right of the way from `start` to `end` in an image, negative to its left."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])
