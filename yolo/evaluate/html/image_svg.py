"""An image with its ground truths and detections over it; each kind of error has its own color, dash and letter.

The image is a JPEG inside the page, scaled down. The boxes are SVG lines over it, which stay sharp and show a tip.
Their colors and dashes are in `templates/report.css`, under the names used here.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from yolo.data.images import ignore_remark, read_image
from yolo.errors import DatasetError
from yolo.evaluate.analysis import tide
from yolo.evaluate.analysis.report import (
    DETECTED,
    DIFFICULT,
    UNDETECTED,
    WITH_ERROR,
    ImageDetection,
    ImageGroundTruth,
    ImageReport,
)
from yolo.pages.page import count_text, data_uri
from yolo.pages.svg import Drawing, SvgElement, shortened, text_width

LONG_SIDE = 560  # pixels of the JPEG: twice the width of a card on most screens
LETTER_HEIGHT = 1 / 36  # of the longer side of the image
MOST_DRAWN = 100  # detections of an image: an untrained network finds thousands, which no browser shows
WITH_CLASS, CLASS_WIDTH = (tide.CLASSIFICATION, tide.BOTH), 70  # kinds whose flag has the class; its width

LETTERS = {
    tide.CLASSIFICATION: "C", tide.LOCALIZATION: "L", tide.BOTH: "CL",
    tide.DUPLICATE: "D", tide.BACKGROUND: "B", tide.MISSED: "M",
}  # fmt: skip

MEANINGS = {
    tide.CLASSIFICATION: "correct box, wrong class",
    tide.LOCALIZATION: "correct class, inexact box",
    tide.BOTH: "wrong class and inexact box",
    tide.DUPLICATE: "detected again",
    tide.BACKGROUND: "no object here",
    tide.MISSED: "not detected",
}

OUTCOME_WORDS = {
    DETECTED: "detected",
    UNDETECTED: "not detected",
    WITH_ERROR: "detected only with an error",
    DIFFICULT: "difficult, does not count",
}

KIND_WORDS = {
    **{kind: f"{kind}, {meaning}" for kind, meaning in MEANINGS.items()},
    tide.TRUE_POSITIVE: "true positive",
    tide.IGNORED: "on a difficult object, does not count",
}


class ImageCard(NamedTuple):
    """An image with its boxes and its caption. readable: whether the image file could be read."""

    title: str
    path: str
    summary: str
    readable: bool
    drawing: Drawing


class LegendSample(NamedTuple):
    """The look of a line (classes of the style sheet), its letter and its meaning."""

    look: str
    letter: str
    meaning: str


def image_card(image: ImageReport, names: Sequence[str], title: str) -> ImageCard:
    """Return the image with its boxes and its errors in words; the image is read from `image.path`."""
    data = jpeg_data(image.path)
    summary = error_summary(image)
    if len(image.detections) > MOST_DRAWN:
        summary += f"; the {MOST_DRAWN} detections with the highest scores are drawn"
    return ImageCard(
        title=title,
        path=image.path,
        summary=summary,
        readable=data is not None,
        drawing=boxes_over(image, names, data),
    )


def boxes_over(image: ImageReport, names: Sequence[str], data: str | None) -> Drawing:
    """Draw the boxes over the image, at most MOST_DRAWN detections.

    data: the data URI of the image, or None for an empty ground of its size.
    """
    size = {"width": image.width, "height": image.height}
    letter = max(image.width, image.height) * LETTER_HEIGHT
    shapes = [SvgElement("rect", {**size, "class": "ground"})]
    if data is not None:
        shapes.append(SvgElement("image", {"href": data, **size, "preserveAspectRatio": "none"}))
    flags = []
    for each in image.ground_truths:
        look = f"ground-truth {each.outcome}"
        shapes.append(_outline(each.box, look, _ground_truth_tip(each, names)))
        if each.outcome == UNDETECTED:
            flags.append(_flag(each.box, LETTERS[tide.MISSED], tide.MISSED, letter, image))
    for each in reversed(image.detections[:MOST_DRAWN]):  # the highest score on top
        shapes.append(_outline(each.box, f"detection {each.kind}", _detection_tip(each, names)))
        if each.kind in LETTERS:
            flags.append(_flag(each.box, _flag_text(each, names), each.kind, letter, image))
    label = f"{Path(image.path).name}: {error_summary(image)}"
    return Drawing(image.width, image.height, [*shapes, *flags], label, "boxes")


def jpeg_data(path: str | Path) -> str | None:
    """Return the image as a data URI of a JPEG at most LONG_SIDE long; None if it cannot be read."""
    try:
        pixels = read_image(path, 3, ignore_remark)
    except (DatasetError, OSError, ValueError):  # missing, broken, or not a path at all
        return None
    scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    return data_uri(small)


def error_summary(image: ImageReport) -> str:
    """Format `2 missed, 1 background; 12 true positives`."""
    counts = Counter(each.kind for each in image.detections)
    counts[tide.MISSED] = sum(each.outcome == UNDETECTED for each in image.ground_truths)
    errors = ", ".join(f"{counts[kind]} {kind}" for kind in tide.KINDS if counts[kind])
    true_positives = counts[tide.TRUE_POSITIVE]
    return f"{errors or 'no error'}; {count_text(true_positives, 'true positive')}"


def legend() -> list[LegendSample]:
    """Return a sample of each color, dash and letter."""
    return [
        LegendSample(f"detection {tide.TRUE_POSITIVE}", "", "true positive"),
        LegendSample(f"ground-truth {WITH_ERROR}", "", "ground truth"),
        *(
            LegendSample(
                f"ground-truth {UNDETECTED}" if kind == tide.MISSED else f"detection {kind}",
                LETTERS[kind],
                f"{kind}: {MEANINGS[kind]}",
            )
            for kind in tide.KINDS
        ),
    ]


def _outline(box: Sequence[float], look: str, tip: str) -> SvgElement:
    x1, y1, x2, y2 = box
    size = {"width": max(x2 - x1, 0.0), "height": max(y2 - y1, 0.0)}
    return SvgElement("rect", {"x": x1, "y": y1, **size, "class": look, "data-tip": tip})


def _flag(box: Sequence[float], content: str, kind: str, letter: float, image: ImageReport) -> SvgElement:
    """Return a small flag at the upper left corner of a box, kept inside the image."""
    width, height = text_width(content, letter) + letter * 0.5, letter * 1.3
    x = min(max(box[0], 0.0), max(image.width - width, 0.0))
    y = min(max(box[1] - height, 0.0), max(image.height - height, 0.0))
    corner = {"x": x + letter * 0.25, "y": y + letter}
    size = {"width": width, "height": height}
    flag = SvgElement("rect", {"x": x, "y": y, **size, "class": f"flag {kind}"})
    mark = SvgElement("text", {**corner, "class": f"mark {kind}"}, content)
    # The style sheet lets the text of flags inherit this size
    return SvgElement("g", {"font-size": float(letter)}, parts=(flag, mark))


def _flag_text(detection: ImageDetection, names: Sequence[str]) -> str:
    """Format `L .87`, with the class if the class is wrong."""
    kind = detection.kind
    name = shortened(names[detection.label], CLASS_WIDTH) + " " if kind in WITH_CLASS else ""
    return f"{LETTERS[kind]} {name}" + f"{detection.score:.2f}".removeprefix("0")


def _ground_truth_tip(ground_truth: ImageGroundTruth, names: Sequence[str]) -> str:
    return f"ground truth {names[ground_truth.label]}: {OUTCOME_WORDS[ground_truth.outcome]}"


def _detection_tip(detection: ImageDetection, names: Sequence[str]) -> str:
    return f"{names[detection.label]} {detection.score:.3f}: {KIND_WORDS[detection.kind]}"
