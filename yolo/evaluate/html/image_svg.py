"""An image with its ground truths and detections over it, each kind of error told apart by color, dash and letter.

The image is a JPEG inside the page, scaled down; the boxes are lines over it that stay sharp and say what they are
when pointed at. The colors and dashes are those of `page_style.py`, under the names used here.
"""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolo.data.images import read_image
from yolo.errors import DatasetError
from yolo.evaluate.analysis.images import DIFFICULT, EXCUSED, LOST
from yolo.evaluate.analysis.tide import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    KINDS,
    LOCALIZATION,
    MISSED,
    RIGHT,
    UNCOUNTED,
)
from yolo.evaluate.html.markup import element, words
from yolo.evaluate.html.svg import drawing, line, shortened

LONG_SIDE = 560  # pixels of the JPEG: twice the width of a card on most screens

JPEG_QUALITY = 82

LETTER_SHARE = 1 / 36  # of the longer side: the height of letters


NAMED, SHORT_NAME = (CLASSIFICATION, BOTH), 70  # kinds that are about the name; its width on a flag

LETTERS = {
    CLASSIFICATION: "C", LOCALIZATION: "L", BOTH: "CL", DUPLICATE: "D", BACKGROUND: "B", MISSED: "M",
}  # fmt: skip

MEANINGS = {
    CLASSIFICATION: "right place, wrong class",
    LOCALIZATION: "right class, inexact box",
    BOTH: "wrong class and inexact box",
    DUPLICATE: "found a second time",
    BACKGROUND: "nothing is there",
    MISSED: "not found",
}


def image_card(image: dict, names: Sequence[str], note: str) -> str:
    """A figure of one image of `image_findings`: the boxes over it and its errors in words; note: its heading."""
    data = jpeg_data(image["path"])
    caption = [
        words("strong", note),
        words("span", Path(image["path"]).name, class_="file", title=image["path"]),
        words("span", error_words(image)),
    ]
    if data is None:
        caption.append(words("span", "The image cannot be read any more.", class_="gone"))
    drawn = boxes_over(image, names, data)
    return element("figure", drawn + element("figcaption", "".join(caption)), class_="picture")


def boxes_over(image: dict, names: Sequence[str], data: str | None) -> str:
    """The drawing alone; data: the image's data URI, None for an empty ground of its size."""
    width, height = image["width"], image["height"]
    letter = max(width, height) * LETTER_SHARE
    parts = [element("rect", width=width, height=height, class_="ground")]
    if data is not None:
        parts.append(
            element("image", href=data, width=width, height=height, preserveAspectRatio="none")
        )
    tags = []
    for ground_truth in image["truths"]:
        parts.append(
            _outline(
                ground_truth["box"],
                f"truth {ground_truth['outcome']}",
                _ground_truth_tip(ground_truth, names),
            )
        )
        if ground_truth["outcome"] == LOST:
            tags.append(_tag(ground_truth["box"], LETTERS[MISSED], MISSED, letter, image))
    for found in reversed(image["detections"]):  # the best on top
        parts.append(_outline(found["box"], f"found {found['kind']}", _found_tip(found, names)))
        if found["kind"] in LETTERS:
            mark = _mark(found, names)
            tags.append(_tag(found["box"], mark, found["kind"], letter, image))
    label = f"{Path(image['path']).name}: {error_words(image)}"
    return drawing(width, height, [*parts, *tags], label, class_="boxes")


def jpeg_data(path: str | Path) -> str | None:
    """The image as a data URI of a JPEG at most LONG_SIDE long; None where it cannot be read."""
    try:
        pixels = read_image(path)
    except (DatasetError, OSError, ValueError):  # gone, broken, or no path at all
        return None
    scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
    encoded = base64.b64encode(np.asarray(content).tobytes()).decode() if done else None
    return encoded and f"data:image/jpeg;base64,{encoded}"


def error_words(image: dict) -> str:
    """`2 missed, 1 background; 12 right`."""
    counts = Counter(found["kind"] for found in image["detections"])
    counts[MISSED] = sum(ground_truth["outcome"] == LOST for ground_truth in image["truths"])
    wrong = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return f"{wrong or 'no error'}; {counts[RIGHT]} right"


def legend() -> str:
    """What the colors, dashes and letters mean, as a row of samples."""
    items = [
        ("found right", "a detection that is right", ""),
        ("ground truth excused", "labeled box", ""),
    ]
    items += [
        (
            f"truth {LOST}" if kind == MISSED else f"found {kind}",
            f"{kind}: {MEANINGS[kind]}",
            LETTERS[kind],
        )
        for kind in KINDS
    ]
    return element("ul", "".join(_sample(*item) for item in items), class_="legend")


def _sample(look: str, meaning: str, letter: str) -> str:
    stroke = drawing(34, 16, [line(1, 8, 33, 8, look)], meaning, class_="sample boxes")
    mark = words("b", letter) if letter else ""
    return element("li", f"{stroke}{mark}{words('span', meaning)}")


def _outline(box: Sequence[float], look: str, tip: str) -> str:
    x1, y1, x2, y2 = box
    return element(
        "rect", x=x1, y=y1, width=max(x2 - x1, 0.0), height=max(y2 - y1, 0.0), class_=look,
        data_tip=tip,
    )  # fmt: skip


def _tag(box: Sequence[float], mark: str, kind: str, letter: float, image: dict) -> str:
    """A small flag at the upper left corner of a box, kept inside the image."""
    width, height = len(mark) * letter * 0.62 + letter * 0.5, letter * 1.3
    x = min(max(box[0], 0.0), max(image["width"] - width, 0.0))
    y = min(max(box[1] - height, 0.0), max(image["height"] - height, 0.0))
    ground = element("rect", x=x, y=y, width=width, height=height, class_=f"flag {kind}")
    mark = words("text", mark, x=x + letter * 0.25, y=y + letter, class_=f"mark {kind}")
    # the page's style has marks inherit the size of their letters
    return element("g", ground + mark, font_size=float(letter))


def _mark(found: dict, names: Sequence[str]) -> str:
    """`L .87`; with the class where that is what is wrong."""
    name = shortened(names[found["class"]], SHORT_NAME) + " " if found["kind"] in NAMED else ""
    return f"{LETTERS[found['kind']]} {name}" + f"{found['score']:.2f}".removeprefix("0")


def _ground_truth_tip(ground_truth: dict, names: Sequence[str]) -> str:
    told = {
        LOST: "not found",
        EXCUSED: "found only with an error",
        DIFFICULT: "difficult, not counted",
    }
    return f"labeled {names[ground_truth['class']]}: {told.get(ground_truth['outcome'], 'found')}"


def _found_tip(found: dict, names: Sequence[str]) -> str:
    meaning = {kind: f"{kind}, {told}" for kind, told in MEANINGS.items()}
    meaning |= {RIGHT: "right", UNCOUNTED: "on a difficult object, not counted"}
    return f"{names[found['class']]} {found['score']:.3f}: {meaning[found['kind']]}"
