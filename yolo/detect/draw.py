"""Draw boxes and class names on an image: detections, ground truth with detections, many images on one sheet.

Images are uint8 `[H, W, 3]` RGB. Boxes are xyxy in image pixels and may reach outside the image. The functions return
new images and change none of their arguments.
"""

import colorsys
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, inf, sqrt

import cv2
import numpy as np
from numpy import ndarray

from yolo.records import Size

Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels; x2 and y2 are exclusive


# Sizes as fractions of sqrt(H * W), chosen on images from 160x128 to 4000x3000.
LINE_PART = 1 / 240
TEXT_PART = 1 / 46  # the height of a capital letter
MIN_TEXT_HEIGHT = 7  # pixels; the font is not readable below
PADDING_PART = 0.4  # around a text, as a fraction of its height
STROKE_PART = 1 / 14  # the stroke of a letter, as a fraction of its height
FONT = cv2.FONT_HERSHEY_DUPLEX
MIRRORED = str.maketrans("()[]<>{}", ")(][><}{")  # brackets in a word that is read from the right


# Hues that differ by a golden section are spread evenly for any number of classes, and neighbors differ much (Knuth,
# The Art of Computer Programming 3, section 6.4). Three alternating tones separate similar hues. FIRST_HUE is the
# result of a search: any two of the first 20 colors differ by 30 in CIELAB.
GOLDEN_SECTION = 0.6180339887
FIRST_HUE = 0.09
TONES = ((0.9, 1.0), (0.5, 1.0), (0.8, 0.75))  # saturation, value
WHITE, BLACK, PANEL = (255, 255, 255), (0, 0, 0), (32, 32, 32)


# WCAG 2.1, "relative luminance" and "contrast ratio": black contrasts more with luminances above EQUAL_CONTRAST,
# white with those below; there (L + 0.05) / 0.05 = 1.05 / (L + 0.05).
GAMMA = 2.2  # approximates sRGB's curve
LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)
EQUAL_CONTRAST = 0.179
MOST_COVERED = 0.25  # of the image, by tags; more of them have smaller letters
MOST_TAGS = 500  # more would cover the image, and placing them takes quadratic time

# Places of a tag, best first: (right, bottom, up) is the left or right end of the top or bottom edge of its box, below
# or above that edge.

DETECTION_PLACES = ((0, 0, 1), (0, 0, 0), (1, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1))
GROUND_TRUTH_PLACES = ((0, 1, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1), (1, 0, 1), (1, 0, 0))
DASH, DASH_WHITE = 9, 6  # lengths of a white and a dark dash, and of the white one, in line widths
SHEET_CELL = (416, 416)  # height, width: YOLOv3's usual input
SHEET_GAP = 8


@dataclass(frozen=True)
class Pen:
    """Sizes of lines and letters in pixels; `scale` is OpenCV's factor for its fonts."""

    line: int
    text_height: int
    padding: int
    scale: float
    stroke: int


@dataclass(frozen=True)
class Tag:
    """A text on a filled rectangle, to be placed at one of `places` around `box`."""

    text: str
    color: Color
    box: Rectangle
    places: tuple[tuple[int, int, int], ...]


def draw_detections(
    image: ndarray, boxes: ndarray, scores: ndarray | None, labels: ndarray, names: Sequence[str]
) -> ndarray:
    """Draw boxes with class name and score in percent. Boxes with higher scores are on top.

    Args:
        image: uint8 `[H, W, 3]`.
        boxes: `[N, 4]` xyxy.
        scores: `[N]` in 0..1; None draws no scores.
        labels: int64 `[N]`.
        names: Name of each label.

    Returns:
        A new image uint8 `[H, W, 3]`.
    """
    return draw_texts(image, boxes, scores, *_texts_and_colors(labels, names))


def draw_texts(
    image: ndarray, boxes: ndarray, scores: ndarray | None, texts: Sequence[str], colors: Sequence[Color]
) -> ndarray:
    """Draw boxes with a text for each, as `draw_detections`.

    Args:
        image: uint8 `[H, W, 3]`.
        boxes: `[N, 4]` xyxy.
        scores: `[N]` in 0..1, drawn after the texts; None draws no scores.
        texts: N texts of letters that the font has (`drawable`).
        colors: N colors.

    Returns:
        A new image uint8 `[H, W, 3]`.
    """
    canvas, pen = image.copy(), pen_for_tags(image, texts, scores is not None)
    _draw_tags(canvas, pen, _draw_boxes(canvas, pen, boxes, scores, texts, colors))
    return canvas


def draw_ground_truth_and_predictions(
    image: ndarray,
    ground_truth_boxes: ndarray,
    ground_truth_labels: ndarray,
    boxes: ndarray,
    scores: ndarray,
    labels: ndarray,
    names: Sequence[str],
) -> ndarray:
    """Draw detections in color and the ground truth as thin dashes on top of them, with a legend below the image.

    Args:
        image: uint8 `[H, W, 3]`.
        ground_truth_boxes: `[M, 4]` xyxy.
        ground_truth_labels: int64 `[M]`.
        boxes: `[N, 4]` xyxy, detections.
        scores: `[N]` in 0..1.
        labels: int64 `[N]`.
        names: Name of each label.

    Returns:
        A new image uint8 `[H + legend, W, 3]`.
    """
    texts, colors = _texts_and_colors(labels, names)
    canvas, pen = image.copy(), pen_for_tags(image, texts, True)
    tags = _draw_boxes(canvas, pen, boxes, scores, texts, colors)
    for box, label in zip(ground_truth_boxes, ground_truth_labels, strict=True):
        if (pixels := pixels_of(box, canvas)) is not None:
            _draw_dashes(canvas, pixels, pen)
            text = fitted_text(drawable(names[label], label), "", canvas.shape[1], pen)
            tags.append(Tag(text, WHITE, pixels, GROUND_TRUTH_PLACES))
    _draw_tags(canvas, pen, tags)
    return np.concatenate((canvas, _legend(canvas.shape[1], pen)))


def contact_sheet(images: Sequence[ndarray], columns: int, cell: Size = SHEET_CELL, gap: int = SHEET_GAP) -> ndarray:
    """Arrange images row by row on one image.

    Args:
        images: uint8 `[H, W, 3]`, of any sizes. Each is centered in its cell, as large as its aspect allows.
        columns: Images per row; the sheet is narrower if there are fewer images.
        cell: (height, width) of a cell.
        gap: Pixels around each cell.

    Returns:
        uint8 `[H', W', 3]`.

    Raises:
        ValueError: `columns` is below 1.
    """
    if columns < 1:
        raise ValueError(f"a contact sheet with {columns} columns: expected 1 or more")
    columns = min(columns, len(images))
    rows = ceil(len(images) / max(columns, 1))
    height, width = cell
    size = gap + rows * (height + gap), gap + columns * (width + gap)
    sheet = np.full((*size, 3), PANEL, np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        fitted = _resized_into(image, cell)
        y = gap + row * (height + gap) + (height - fitted.shape[0]) // 2
        x = gap + column * (width + gap) + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
    return sheet


def class_color(label: int) -> Color:
    """Return the RGB color of a class, the same in every image and run."""
    saturation, value = TONES[label % len(TONES)]
    hue = (FIRST_HUE + label * GOLDEN_SECTION) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def text_color(background: Color) -> Color:
    """Return black or white, the one with more contrast to `background` (WCAG 2.1)."""
    linear = np.divide(background, 255) ** GAMMA
    return BLACK if np.dot(linear, LUMINANCE_WEIGHTS) > EQUAL_CONTRAST else WHITE


def drawable(name: str, label: int) -> str:
    """Return `name` as the font can draw it: other letters without their accents, or as '?'.

    OpenCV 5 has letters of Latin, Greek, Cyrillic, Arabic, Chinese, Japanese and Korean, among others; OpenCV 4 has
    ASCII alone. A name of which only '?' is left becomes '#label'.
    """
    composed = unicodedata.normalize("NFC", name)
    text = "".join(c if has_glyph(c) else _without_accents(c) for c in composed).strip()
    return text if text.strip("? ") else f"#{label}"


def as_seen(text: str) -> str:
    """Return a text with Hebrew and Arabic words in the order of their letters from left to right, as OpenCV draws.

    Source: Unicode's Bidirectional Algorithm (UAX 9) for a line that begins at the left: a run from the first to the
    last letter of such a script is reversed, its numbers are not. OpenCV's font has no joined Arabic letters.
    """
    kinds = "".join("R" if unicodedata.bidirectional(c) in ("R", "AL") else "L" if c.isalpha() else "." for c in text)
    parts, end = [], 0
    for run in re.finditer(r"R([R.]*R)?", kinds):
        turned = text[run.start() : run.end()][::-1].translate(MIRRORED)
        parts += [text[end : run.start()], re.sub(r"\d+", lambda number: number[0][::-1], turned)]
        end = run.end()
    return "".join((*parts, text[end:]))


def _without_accents(letter: str) -> str:
    """Return the letters below the accents of `letter`, '?' for each one that the font does not have."""
    decomposed = unicodedata.normalize("NFKD", letter)
    bare = [c for c in decomposed if not unicodedata.combining(c)]
    return "".join(c if has_glyph(c) else "?" for c in bare)


@cache
def has_glyph(letter: str) -> bool:
    """Whether the font draws a character as itself: not as the '?' that OpenCV puts for those it does not have."""
    if " " <= letter <= "~":
        return True
    if not letter.isprintable() or letter.isspace() or unicodedata.combining(letter):
        return False
    drawn = _letters_drawn(letter)
    # OpenCV 4 draws one '?' for each byte
    marks = (_letters_drawn("?" * count) for count in range(1, len(letter.encode()) + 1))
    return bool(drawn.any()) and not any(np.array_equal(drawn, each) for each in marks)


def _letters_drawn(text: str) -> ndarray:
    canvas = np.zeros((64, 200), np.uint8)
    cv2.putText(canvas, text, (8, 48), FONT, 1.0, 255, 1)
    return canvas


def pen_for(image: ndarray, text_height: int | None = None) -> Pen:
    """Return the sizes for an image `[H, W, 3]`. text_height: of a capital letter in pixels; None: by the image."""
    side = sqrt(image.shape[0] * image.shape[1])
    text_height = text_height or max(MIN_TEXT_HEIGHT, round(side * TEXT_PART))
    return Pen(
        line=max(1, round(side * LINE_PART)),
        text_height=text_height,
        padding=max(2, round(text_height * PADDING_PART)),
        scale=text_height / _capital_height(),
        stroke=max(1, round(text_height * STROKE_PART)),
    )


def pen_for_tags(image: ndarray, texts: Sequence[str], with_scores: bool) -> Pen:
    """Return the sizes for an image `[H, W, 3]` with many tags: letters so small that they cover MOST_COVERED of it."""
    pen = pen_for(image)
    score = " 99%" if with_scores else ""
    sizes = (_tag_size(text + score, pen) for text in texts[:MOST_TAGS])
    covered = sum(width * height for width, height in sizes) / (image.shape[0] * image.shape[1])
    if covered <= MOST_COVERED:
        return pen
    return pen_for(image, max(MIN_TEXT_HEIGHT, int(pen.text_height * sqrt(MOST_COVERED / covered))))


def fitted_text(name: str, score: str, width: int, pen: Pen) -> str:
    """Return the text of a tag that fits into a width.

    Args:
        name: of the class; it is shortened as far as needed.
        score: the score as text; "" without one.
        width: in pixels.
        pen: the sizes of the drawing.

    Returns:
        name and score, or "" if not even the score fits.
    """
    shortened = [f"{name[:kept]}.." for kept in range(len(name) - 1, 0, -1)]
    texts = (f"{start} {score}".strip() for start in (name, *shortened, ""))
    return next((text for text in texts if _tag_size(text, pen)[0] <= width), "")


def pixels_of(box: Iterable[float], image: ndarray) -> Rectangle | None:
    """Return the whole pixels of a box inside an image `[H, W, 3]`, at least one; None if it is outside."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(c) for c in box)
    if x1 >= width or y1 >= height or x2 < 0 or y2 < 0:
        return None
    left, top = round(min(max(x1, 0), width - 1)), round(min(max(y1, 0), height - 1))
    right, bottom = round(min(max(x2, left + 1), width)), round(min(max(y2, top + 1), height))
    return left, top, right, bottom


def place_of(tag: Tag, size: tuple[int, int], taken: ndarray, image: ndarray) -> tuple[int, int]:
    """Return the upper left corner (x, y) of a tag: the first place that overlaps no other tag, or overlaps least.

    Args:
        tag: The tag.
        size: (width, height) of the tag.
        taken: `[T, 4]` xyxy, the tags placed before.
        image: `[H, W, 3]`; the tag is inside.
    """
    width, height = size
    x1, y1, x2, y2 = tag.box
    last_x, last_y = image.shape[1] - width, image.shape[0] - height
    best, least = (0, 0), inf
    for right, bottom, up in tag.places:
        x, y = x2 - width if right else x1, (y2 if bottom else y1) - height * up
        x, y = min(max(x, 0), last_x), min(max(y, 0), last_y)
        overlap = _overlap((x, y, x + width, y + height), taken)
        if overlap < least:
            best, least = (x, y), overlap
        if not overlap:
            break
    return best


def _texts_and_colors(labels: Iterable[int], names: Sequence[str]) -> tuple[list[str], list[Color]]:
    """Return the text and the color of the class of each label."""
    classes = list(map(int, labels))
    return [drawable(names[label], label) for label in classes], list(map(class_color, classes))


def _draw_boxes(
    canvas: ndarray,
    pen: Pen,
    boxes: ndarray,
    scores: ndarray | None,
    texts: Sequence[str],
    colors: Sequence[Color],
) -> list[Tag]:
    """Draw the outlines of detections on `canvas`; return their tags, highest score first."""
    order = range(len(boxes)) if scores is None else np.argsort(-np.asarray(scores), kind="stable")
    tags = []
    for row in order:
        if (pixels := pixels_of(boxes[row], canvas)) is not None:
            score = "" if scores is None else f"{float(scores[row]):.0%}"
            text = fitted_text(texts[row], score, canvas.shape[1], pen)
            tags.append(Tag(text, colors[row], pixels, DETECTION_PLACES))
    for tag in reversed(tags):
        _draw_outline(canvas, tag.box, tag.color, pen.line)
    return tags


def _draw_outline(canvas: ndarray, box: Rectangle, color: Color, line: int) -> None:
    for edge in _edges(canvas, box, line):
        edge[:] = color


def _edges(canvas: ndarray, box: Rectangle, line: int) -> tuple[ndarray, ...]:
    """Return views of the pixels along the inner side of a box: top, bottom, left, right."""
    x1, y1, x2, y2 = box
    inside = canvas[y1:y2, x1:x2]
    return inside[:line], inside[-line:], inside[:, :line], inside[:, -line:]


def _draw_dashes(canvas: ndarray, box: Rectangle, pen: Pen) -> None:
    """Draw a thin outline of white and black dashes, visible on every background."""
    line = ceil(pen.line / 2)
    top, bottom, left, right = _edges(canvas, box, line)
    for edge in (top, bottom, left.swapaxes(0, 1), right.swapaxes(0, 1)):
        white = np.arange(edge.shape[1]) % (DASH * line) < DASH_WHITE * line
        edge[:, white], edge[:, ~white] = WHITE, BLACK


def _draw_tags(canvas: ndarray, pen: Pen, tags: Sequence[Tag]) -> None:
    """Place the tags in their order and draw them, the first ones on top."""
    placed, taken = [], np.empty((0, 4), int)
    for tag in tags[:MOST_TAGS]:
        width, height = _tag_size(tag.text, pen)
        if tag.text and height <= canvas.shape[0]:
            x, y = place_of(tag, (width, height), taken, canvas)
            taken = np.append(taken, [(x, y, x + width, y + height)], axis=0)
            placed.append(tag)
    for tag, (x1, y1, x2, y2) in zip(reversed(placed), taken[::-1], strict=True):
        canvas[y1:y2, x1:x2] = tag.color
        _write(canvas, tag.text, (x1 + pen.padding, y1 + pen.padding), text_color(tag.color), pen)


def _write(canvas: ndarray, text: str, corner: tuple[int, int], color: Color, pen: Pen) -> None:
    """Draw `text` with the upper left corner of its capitals at `corner` (x, y)."""
    origin = (int(corner[0]), int(corner[1]) + pen.text_height)
    cv2.putText(canvas, as_seen(text), origin, FONT, pen.scale, color, pen.stroke, cv2.LINE_AA)


@cache
def _capital_height() -> int:
    """Return the height of a capital at scale 1, measured on a drawn one: getTextSize of OpenCV 5 gives the line's."""
    canvas = np.zeros((100, 100), np.uint8)
    cv2.putText(canvas, "H", (30, 70), FONT, 1.0, 255, 1)
    return int(canvas.any(axis=1).sum())


def _tag_size(text: str, pen: Pen) -> tuple[int, int]:
    """Return (width, height) of a tag."""
    (width, _), _ = cv2.getTextSize(text, FONT, pen.scale, pen.stroke)
    return width + 2 * pen.padding, pen.text_height + 2 * pen.padding


def _overlap(rectangle: Rectangle, others: ndarray) -> int:
    """Return the sum of the intersections of a rectangle with `others` `[T, 4]`, in pixels."""
    low = np.maximum(rectangle[:2], others[:, :2])
    high = np.minimum(rectangle[2:], others[:, 2:])
    return int((high - low).clip(min=0).prod(axis=1).sum())


def _legend(width: int, pen: Pen) -> ndarray:
    """Return a dark strip `[h, width, 3]` with a sample of each kind of box, one below the other if it is narrow."""
    size, margin = 2 * pen.text_height, 2 * pen.padding
    box = (margin, pen.padding, margin + size, pen.padding + size)
    ground_truth, prediction = (
        _legend_entry("ground truth", box, pen),
        _legend_entry("prediction", box, pen),
    )
    _draw_dashes(ground_truth, box, pen)
    _draw_outline(prediction, box, class_color(0), pen.line)
    height, together = len(ground_truth), ground_truth.shape[1] + prediction.shape[1]
    x, y = (ground_truth.shape[1], 0) if together <= width else (0, height)
    strip = np.full((y + height, width, 3), PANEL, np.uint8)
    strip[:height, : ground_truth.shape[1]] = ground_truth[:, :width]
    strip[y:, x : x + prediction.shape[1]] = prediction[:, :width]
    return strip


def _legend_entry(text: str, box: Rectangle, pen: Pen) -> ndarray:
    """Return a dark strip with `text` to the right of `box`, the place of the sample."""
    width = box[2] + _tag_size(text, pen)[0]
    entry = np.full((box[3] + pen.padding, width, 3), PANEL, np.uint8)
    _write(entry, text, (box[2] + pen.padding, (len(entry) - pen.text_height) // 2), WHITE, pen)
    return entry


def _resized_into(image: ndarray, cell: Size) -> ndarray:
    """Return an image as large as a cell (height, width) allows, with its aspect kept."""
    height, width = image.shape[:2]
    scale = min(cell[0] / height, cell[1] / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
