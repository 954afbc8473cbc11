"""The records that a source yields: a frame, or a fault, one line about what could not be read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class SourceFrame:
    """A decoded image with its place in its source.

    image: uint8 `[H, W, C]`, RGB or gray, as displayed (rotation flags are applied).
    source: the source as printed, such as `dog.jpg`, `clip.mp4`, `camera 0`.
    index: number of the frame in its source, from 0; frames that were left out count.
    time: seconds since the start of the video; None for an image.
    path: the image file; None for a frame of a video, a stream or stdin.
    """

    image: np.ndarray
    source: str
    index: int = 0
    time: float | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Fault:
    """A source, or the rest of one, that could not be read: one line."""

    message: str
