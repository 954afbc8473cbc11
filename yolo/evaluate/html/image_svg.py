"""An image with its ground truths and detections over it; each kind of error has its own color, dash and letter.

The image is a JPEG inside the page, scaled down. The boxes are SVG lines over it, which stay sharp and show a tip. Their
colors and dashes are in `templates/report.css`, under the names used here.
"""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from yolo.data.images import read_image
from yolo.errors import DatasetError
from yolo.evaluate.analysis.report import (
    DIFFICULT,
    UNDETECTED,
    WITH_ERROR,
    ImageDetection,
    ImageGroundTruth,
    ImageReport,
)
from yolo.evaluate.analysis.tide import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    IGNORED,
    KINDS,
    LOCALIZATION,
    MISSED,
    TRUE_POSITIVE,
)
from yolo.evaluate.html.svg import Drawing, SvgElement, line, shortened

LONG_SIDE = 560  # pixels of the JPEG: twice the width of a card on most screens
JPEG_QUALITY = 82
LETTER_HEIGHT = 1 / 36  # of the longer side of the image
WITH_CLASS, CLASS_WIDTH = (CLASSIFICATION, BOTH), 70  # kinds whose flag has the class; its width

LETTERS = {
    CLASSIFICATION: "C", LOCALIZATION: "L", BOTH: "CL", DUPLICATE: "D", BACKGROUND: "B", MISSED: "M",
}  # fmt: skip

MEANINGS = {
    CLASSIFICATION: "correct box, wrong class",
    LOCALIZATION: "correct class, inexact box",
    BOTH: "wrong class and inexact box",
    DUPLICATE: "detected again",
    BACKGROUND: "no object here",
    MISSED: "not detected",
}


class ImageCard(NamedTuple):
    """An image with its boxes and its caption. readable: whether the image file could be read."""

    title: str
    file: str
    path: str
    summary: str
    readable: bool
    drawing: Drawing


class LegendSample(NamedTuple):
    """A sample of a line, its letter and its meaning."""

    drawing: Drawing
    letter: str
    meaning: str


def image_card(image: ImageReport, names: Sequence[str], title: str) -> ImageCard:
    """Return the image with its boxes and its errors in words; the image is read from `image.path`."""
    data = jpeg_data(image.path)
    return ImageCard(
        title=title,
        file=Path(image.path).name,
        path=image.path,
        summary=error_summary(image),
        readable=data is not None,
        drawing=boxes_over(image, names, data),
    )


def boxes_over(image: ImageReport, names: Sequence[str], data: str | None) -> Drawing:
    """Draw the boxes over the image; `data` is its data URI, or None for an empty ground of its size."""
    size = {"width": image.width, "height": image.height}
    letter = max(image.width, image.height) * LETTER_HEIGHT
    shapes = [SvgElement("rect", {**size, "class": "ground"})]
    if data is not None:
        shapes.append(SvgElement("image", {"href": data, **size, "preserveAspectRatio": "none"}))
    flags = []
    for each in image.ground_truths:
        look = f"truth {each.outcome}"
        shapes.append(_outline(each.box, look, _ground_truth_tip(each, names)))
        if each.outcome == UNDETECTED:
            flags.append(_flag(each.box, LETTERS[MISSED], MISSED, letter, image))
    for each in reversed(image.detections):  # the highest score on top
        shapes.append(_outline(each.box, f"found {each.kind}", _detection_tip(each, names)))
        if each.kind in LETTERS:
            flags.append(_flag(each.box, _flag_text(each, names), each.kind, letter, image))
    label = f"{Path(image.path).name}: {error_summary(image)}"
    return Drawing(image.width, image.height, [*shapes, *flags], label, "boxes")


def jpeg_data(path: str | Path) -> str | None:
    """Return the image as a data URI of a JPEG at most LONG_SIDE long; None if it cannot be read."""
    try:
        pixels = read_image(path)
    except (DatasetError, OSError, ValueError):  # missing, broken, or not a path at all
        return None
    scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
    encoded = base64.b64encode(np.asarray(content).tobytes()).decode() if done else None
    return encoded and f"data:image/jpeg;base64,{encoded}"


def error_summary(image: ImageReport) -> str:
    """Format `2 missed, 1 background; 12 true positives`."""
    counts = Counter(each.kind for each in image.detections)
    counts[MISSED] = sum(each.outcome == UNDETECTED for each in image.ground_truths)
    errors = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    true_positives = counts[TRUE_POSITIVE]
    plural = "" if true_positives == 1 else "s"
    return f"{errors or 'no error'}; {true_positives} true positive{plural}"


def legend() -> list[LegendSample]:
    """Return a sample of each color, dash and letter."""
    items = [
        (f"found {TRUE_POSITIVE}", "true positive", ""),
        (f"truth {WITH_ERROR}", "ground truth", ""),
        *(
            (
                f"truth {UNDETECTED}" if kind == MISSED else f"found {kind}",
                f"{kind}: {MEANINGS[kind]}",
                LETTERS[kind],
            )
            for kind in KINDS
        ),
    ]
    return [
        LegendSample(
            Drawing(34, 16, [line(1, 8, 33, 8, look)], meaning, "sample boxes"), letter, meaning
        )
        for look, meaning, letter in items
    ]


def _outline(box: Sequence[float], look: str, tip: str) -> SvgElement:
    x1, y1, x2, y2 = box
    size = {"width": max(x2 - x1, 0.0), "height": max(y2 - y1, 0.0)}
    return SvgElement("rect", {"x": x1, "y": y1, **size, "class": look, "data-tip": tip})


def _flag(
    box: Sequence[float], content: str, kind: str, letter: float, image: ImageReport
) -> SvgElement:
    """Return a small flag at the upper left corner of a box, kept inside the image."""
    width, height = len(content) * letter * 0.62 + letter * 0.5, letter * 1.3
    x = min(max(box[0], 0.0), max(image.width - width, 0.0))
    y = min(max(box[1] - height, 0.0), max(image.height - height, 0.0))
    corner = {"x": x + letter * 0.25, "y": y + letter}
    return SvgElement(
        "g",
        {"font-size": float(letter)},  # the style sheet lets the text of flags inherit this size
        parts=(
            SvgElement(
                "rect", {"x": x, "y": y, "width": width, "height": height, "class": f"flag {kind}"}
            ),
            SvgElement("text", {**corner, "class": f"mark {kind}"}, content),
        ),
    )


def _flag_text(detection: ImageDetection, names: Sequence[str]) -> str:
    """Format `L .87`, with the class if the class is wrong."""
    kind = detection.kind
    name = shortened(names[detection.label], CLASS_WIDTH) + " " if kind in WITH_CLASS else ""
    return f"{LETTERS[kind]} {name}" + f"{detection.score:.2f}".removeprefix("0")


def _ground_truth_tip(ground_truth: ImageGroundTruth, names: Sequence[str]) -> str:
    outcome = {
        UNDETECTED: "not detected",
        WITH_ERROR: "detected only with an error",
        DIFFICULT: "difficult, does not count",
    }.get(ground_truth.outcome, "detected")
    return f"ground truth {names[ground_truth.label]}: {outcome}"


def _detection_tip(detection: ImageDetection, names: Sequence[str]) -> str:
    meaning = {
        **{kind: f"{kind}, {meaning}" for kind, meaning in MEANINGS.items()},
        TRUE_POSITIVE: "true positive",
        IGNORED: "on a difficult object, does not count",
    }[detection.kind]
    return f"{names[detection.label]} {detection.score:.3f}: {meaning}"
