"""DeepStack's API: requests of Frigate's `deepstack` detector, Blue Iris and Home Assistant, and their answers.

Source: DeepStack, server/server.go, middlewares.go and response.go. CodeProject.AI, which followed it, adds fields to
the answers, the list of custom models, and the state (its docs/api/api_reference.md).
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yolo.records import Detections
from yolo.serve.http.multipart import Part
from yolo.serve.http.refusal import RefusedError

DEFAULT_CONFIDENCE = 0.4  # server.go detection
FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")  # one way only, as detection.NUMBER
NO_IMAGE = "No valid image file found"
WRONG_CONFIDENCE = "Invalid value for min_confidence"
HIGH_CONFIDENCE = "min_confidence cannot be greater than 1"
WRONG_KEY = "Incorrect api key"
NO_MODEL = "no model of this name"
BROKEN_IMAGE = "invalid image file"
NOT_ACTIVATED = {
    "face": "Face endpoints not activated",
    "scene": "Scene endpoint not activated",
    "enhance": "Enhance endpoint not activated",
}
BROKEN_STATUS = (415, 422)  # of `prepare_image`; DeepStack answers 400
SERVER = "yolo-darknet"
MILLISECONDS = 1000


@dataclass(frozen=True)
class Times:
    """Seconds in the network, and of the whole answer."""

    network: float
    answer: float


def image_of(parts: Sequence[Part]) -> Part:
    """Return the file of the form's field `image`. Raises RefusedError."""
    found = next((part for part in parts if part.field == "image" and part.file_name is not None), None)
    if found is None:
        raise RefusedError(400, NO_IMAGE)
    return found


def field_of(parts: Sequence[Part], name: str) -> str:
    """Return a form field, empty without one."""
    found = (part for part in parts if part.field == name and part.file_name is None)
    return next((part.content.decode("utf-8", "replace") for part in found), "")


def confidence_of(parts: Sequence[Part]) -> float:
    """Return the field `min_confidence`. Raises RefusedError."""
    text = field_of(parts, "min_confidence")
    if not text:
        return DEFAULT_CONFIDENCE
    if not FLOAT.fullmatch(text):
        raise RefusedError(400, WRONG_CONFIDENCE)
    if float(text) > 1:
        raise RefusedError(400, HIGH_CONFIDENCE)
    return float(text)


def predictions_answer(detections: Detections, names: Sequence[str], size: tuple[int, int], times: Times) -> bytes:
    """Return the answer for an image: the best prediction first, in whole pixels inside of the image.

    Args:
        detections: xyxy in image pixels.
        names: of the classes.
        size: (height, width) of the image.
        times: see Times.
    """
    height, width = size
    boxes = detections.boxes.nan_to_num()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    columns = detections.labels.tolist(), detections.scores.tolist(), boxes.int().tolist()
    predictions = [
        {"confidence": score, "label": names[label], "y_min": y1, "x_min": x1, "y_max": y2, "x_max": x2}
        for label, score, (x1, y1, x2, y2) in zip(*columns, strict=True)
    ]
    answer = {"success": True, "predictions": predictions, "duration": round(times.answer, 4)}
    return _json(answer | _of_codeproject([each["label"] for each in predictions], times))


def _of_codeproject(labels: Sequence[str], times: Times) -> dict[str, Any]:
    """Return the additional fields of CodeProject.AI's answer."""
    found = ", ".join(f"{count} {label}" if count > 1 else label for label, count in Counter(labels).items())
    answered = round(MILLISECONDS * times.answer)
    return {
        "message": f"Found {found}" if found else "No objects found",
        "count": len(labels),
        "inferenceMs": round(MILLISECONDS * times.network),
        "processMs": answered,
        "analysisRoundTripMs": answered,
        "code": 200,
        "moduleName": SERVER,
    }


def error_answer(error: RefusedError) -> tuple[int, bytes]:
    """Return the status and the answer for a refused request, with DeepStack's texts if it has one."""
    status, line = (400, BROKEN_IMAGE) if error.status in BROKEN_STATUS else (error.status, error.line)
    if status == 401:
        line = WRONG_KEY
    return status, _json({"success": False, "error": line, "duration": 0})


def list_answer(names: Sequence[str]) -> bytes:
    """Return the answer for the list of custom models."""
    return _json({"success": True, "models": list(names), "duration": 0})


def update_answer(version: str) -> bytes:
    """Return CodeProject.AI's answer about a newer version. This service never looks for one.

    version: such as 0.1.0.
    """
    numbers = dict(zip(("major", "minor", "patch"), map(int, re.findall("[0-9]+", version)), strict=False))
    answer = {"success": True, "message": "", "updateAvailable": False, "version": numbers}
    return _json(answer | {"current": numbers, "latest": numbers})


def _json(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
