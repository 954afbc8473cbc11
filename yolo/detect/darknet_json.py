"""Detections in the layout of Darknet's json (AlexeyAB image.c detection_to_json; `-out result.json`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from yolo.detect.postprocess import Detections


@dataclass(frozen=True)
class Frame:
    """One picture's detections, in picture pixels; size: (height, width)."""

    file_name: str
    size: tuple[int, int]
    detections: Detections


def darknet_json(frames: Sequence[Frame], names: Sequence[str]) -> str:
    """A json list of frames, numbered from 1, boxes as centre and size relative to the picture, six digits."""
    return (
        json.dumps(
            [_frame(number, frame, names) for number, frame in enumerate(frames, 1)], indent=1
        )
        + "\n"
    )


def _frame(number: int, frame: Frame, names: Sequence[str]) -> dict:
    found = frame.detections
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return {
        "frame_id": number,
        "filename": frame.file_name,
        "objects": [
            {
                "class_id": label,
                "name": names[label],
                "relative_coordinates": _relative(box, frame.size),
                "confidence": round(score, 6),
            }
            for box, score, label in rows
        ],
    }


def _relative(box: Sequence[float], size: tuple[int, int]) -> dict[str, float]:
    height, width = size
    left, top, right, bottom = box
    return {
        "center_x": round((left + right) / 2 / width, 6),
        "center_y": round((top + bottom) / 2 / height, 6),
        "width": round((right - left) / width, 6),
        "height": round((bottom - top) / height, 6),
    }
