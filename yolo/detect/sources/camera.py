"""Read cameras of this machine by OpenCV."""

import time
from collections.abc import Iterator
from contextlib import closing
from threading import Event

import cv2

from yolo.detect.sources.frame import SourceFrame
from yolo.errors import DatasetError, counted


def camera_frames(number: int, channels: int, stop: Event) -> Iterator[SourceFrame]:
    """Yield the frames of a camera as they are captured, until `stop` is set. Raises DatasetError without a frame."""
    name = f"camera {number}"
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # else one line for each interface it tries
    try:
        camera = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    with closing(_Released(camera)):
        if not camera.isOpened():
            raise DatasetError(f"{name}: found no camera of this number that can be opened")
        index, begun = 0, 0.0
        while not stop.is_set():
            read, image = camera.read()
            if not read:
                raise DatasetError(f"{name}: found no frame after {counted(index, 'frame')}")
            code = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2GRAY
            image = cv2.cvtColor(image, code).reshape(*image.shape[:2], channels)
            begun = begun if index else time.monotonic()  # starting the camera is no part of an annotated video
            yield SourceFrame(image, name, index, time.monotonic() - begun if index else 0.0)
            index += 1


class _Released:
    """OpenCV's camera with the `close` that `contextlib.closing` calls."""

    def __init__(self, camera: cv2.VideoCapture) -> None:
        self.close = camera.release
