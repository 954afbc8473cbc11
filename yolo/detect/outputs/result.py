"""The record that every output writes: a frame with its detections."""

from typing import NamedTuple

import numpy as np

from yolo.detect.sources.frame import SourceFrame
from yolo.records import Detections


class Result(NamedTuple):
    """One frame and its Detections in image pixels; tracks: int64 `[N]`, -1 where not numbered yet, None untracked."""

    frame: SourceFrame
    detections: Detections
    tracks: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        height, width = self.frame.image.shape[:2]
        return height, width

    def rows(self) -> list[tuple[list[float], float, int, int]]:
        """(box xyxy, score, label, track) of each detection as Python's own numbers; track -1 where there is none."""
        found = self.detections
        tracks = [-1] * len(found) if self.tracks is None else self.tracks.tolist()
        columns = (found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), tracks)
        return list(zip(*columns, strict=True))

    def clipped_boxes(self) -> np.ndarray:
        """Return the boxes clipped to the image, float64 `[N, 4]` xyxy; one outside of it has no width or no height."""
        height, width = self.size
        boxes = self.detections.boxes.double().numpy().reshape(-1, 4)
        return boxes.clip(0, (width, height, width, height))


def color_image(image: np.ndarray) -> np.ndarray:
    """Convert uint8 `[H, W, 1 or 3]` to `[H, W, 3]`."""
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
