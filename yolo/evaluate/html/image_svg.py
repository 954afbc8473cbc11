"""A picture with its truths and detections over it, each kind of error told apart by colour, dash and letter.

The picture is a JPEG inside the page, scaled down; the boxes are lines over it that stay sharp and say what they are
when pointed at. The colours and dashes are those of `page_style.py`, under the names used here.
"""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolo.data.images import read_picture
from yolo.errors import DatasetError
from yolo.evaluate.analysis.images import DIFFICULT, EXCUSED, LOST
from yolo.evaluate.analysis.tide import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    KINDS,
    LOCALISATION,
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
    CLASSIFICATION: "C", LOCALISATION: "L", BOTH: "CL", DUPLICATE: "D", BACKGROUND: "B", MISSED: "M",
}  # fmt: skip

MEANINGS = {
    CLASSIFICATION: "right place, wrong class",
    LOCALISATION: "right class, inexact box",
    BOTH: "wrong class and inexact box",
    DUPLICATE: "found a second time",
    BACKGROUND: "nothing is there",
    MISSED: "not found",
}


def picture_card(picture: dict, names: Sequence[str], note: str) -> str:
    """A figure of one picture of `picture_findings`: the boxes over it and its errors in words; note: its heading."""
    data = jpeg_data(picture["path"])
    caption = [
        words("strong", note),
        words("span", Path(picture["path"]).name, class_="file", title=picture["path"]),
        words("span", error_words(picture)),
    ]
    if data is None:
        caption.append(words("span", "The picture cannot be read any more.", class_="gone"))
    drawn = boxes_over(picture, names, data)
    return element("figure", drawn + element("figcaption", "".join(caption)), class_="picture")


def boxes_over(picture: dict, names: Sequence[str], data: str | None) -> str:
    """The drawing alone; data: the picture's data URI, None for an empty ground of its size."""
    width, height = picture["width"], picture["height"]
    letter = max(width, height) * LETTER_SHARE
    parts = [element("rect", width=width, height=height, class_="ground")]
    if data is not None:
        parts.append(
            element("image", href=data, width=width, height=height, preserveAspectRatio="none")
        )
    tags = []
    for truth in picture["truths"]:
        parts.append(_outline(truth["box"], f"truth {truth['outcome']}", _truth_tip(truth, names)))
        if truth["outcome"] == LOST:
            tags.append(_tag(truth["box"], LETTERS[MISSED], MISSED, letter, picture))
    for found in reversed(picture["detections"]):  # the best on top
        parts.append(_outline(found["box"], f"found {found['kind']}", _found_tip(found, names)))
        if found["kind"] in LETTERS:
            mark = _mark(found, names)
            tags.append(_tag(found["box"], mark, found["kind"], letter, picture))
    label = f"{Path(picture['path']).name}: {error_words(picture)}"
    return drawing(width, height, [*parts, *tags], label, class_="boxes")


def jpeg_data(path: str | Path) -> str | None:
    """The picture as a data URI of a JPEG at most LONG_SIDE long; None where it cannot be read."""
    try:
        pixels = read_picture(path)
    except (DatasetError, OSError, ValueError):  # gone, broken, or no path at all
        return None
    scale = min(1.0, LONG_SIDE / max(pixels.shape[:2]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, content = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)
    encoded = base64.b64encode(np.asarray(content).tobytes()).decode() if done else None
    return encoded and f"data:image/jpeg;base64,{encoded}"


def error_words(picture: dict) -> str:
    """`2 missed, 1 background; 12 right`."""
    counts = Counter(found["kind"] for found in picture["detections"])
    counts[MISSED] = sum(truth["outcome"] == LOST for truth in picture["truths"])
    wrong = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    return f"{wrong or 'no error'}; {counts[RIGHT]} right"


def legend() -> str:
    """What the colours, dashes and letters mean, as a row of samples."""
    items = [
        ("found right", "a detection that is right", ""),
        ("truth excused", "labelled box", ""),
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


def _tag(box: Sequence[float], mark: str, kind: str, letter: float, picture: dict) -> str:
    """A small flag at the upper left corner of a box, kept inside the picture."""
    width, height = len(mark) * letter * 0.62 + letter * 0.5, letter * 1.3
    x = min(max(box[0], 0.0), max(picture["width"] - width, 0.0))
    y = min(max(box[1] - height, 0.0), max(picture["height"] - height, 0.0))
    ground = element("rect", x=x, y=y, width=width, height=height, class_=f"flag {kind}")
    mark = words("text", mark, x=x + letter * 0.25, y=y + letter, class_=f"mark {kind}")
    # the page's style has marks inherit the size of their letters
    return element("g", ground + mark, font_size=float(letter))


def _mark(found: dict, names: Sequence[str]) -> str:
    """`L .87`; with the class where that is what is wrong."""
    name = shortened(names[found["class"]], SHORT_NAME) + " " if found["kind"] in NAMED else ""
    return f"{LETTERS[found['kind']]} {name}" + f"{found['score']:.2f}".removeprefix("0")


def _truth_tip(truth: dict, names: Sequence[str]) -> str:
    told = {
        LOST: "not found",
        EXCUSED: "found only with an error",
        DIFFICULT: "difficult, not counted",
    }
    return f"labelled {names[truth['class']]}: {told.get(truth['outcome'], 'found')}"


def _found_tip(found: dict, names: Sequence[str]) -> str:
    meaning = {kind: f"{kind}, {told}" for kind, told in MEANINGS.items()}
    meaning |= {RIGHT: "right", UNCOUNTED: "on a difficult object, not counted"}
    return f"{names[found['class']]} {found['score']:.3f}: {meaning[found['kind']]}"
