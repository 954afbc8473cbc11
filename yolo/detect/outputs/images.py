"""Write image files: copies with boxes, and crops of objects."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolo.detect.outputs.naming import Stems, safe_name
from yolo.detect.outputs.result import Result, color_image
from yolo.files.image_file import encoded_image
from yolo.files.writing import replacing


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a uint8 `[H, W, 3]` RGB image as PNG, which loses nothing."""
    content = encoded_image(image, ".png")
    with replacing(path) as file:
        file.write(content)


class Crops:
    """Each detection's pixels as `folder/CLASS/IMAGE-NUMBER.png`."""

    def __init__(self, folder: Path, names: Sequence[str], stems: Stems) -> None:
        self._folder = folder
        self._names = names
        self._stems = stems

    def write(self, result: Result) -> None:
        stem = self._stems.of_frame(result.frame)
        labels = result.detections.labels.tolist()
        for number, (box, label) in enumerate(zip(result.clipped_boxes(), labels, strict=True), 1):
            x1, y1 = np.floor(box[:2]).astype(int)
            x2, y2 = np.ceil(box[2:]).astype(int)
            if x2 > x1 and y2 > y1:
                pixels = color_image(result.frame.image)[y1:y2, x1:x2]
                folder = self._folder / safe_name(self._names[label])
                write_png(folder / f"{stem}-{number}.png", np.ascontiguousarray(pixels))
