"""The page of the images with the largest losses: `ranking.html.jinja`, and the numbers beside it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from yolo.data.images import ignore_remark, read_image
from yolo.data.labeled_images import LabeledImage
from yolo.detect.detector import Detector
from yolo.explain.boxed_images import MOST_BOXES, DrawnBox, drawn_boxes, read_pixels
from yolo.explain.loss.doubt import PRIOR, doubts_in_image
from yolo.explain.loss.object_fates import all_predictions, detections_in_input, object_fates
from yolo.explain.loss.placed import label_name, placed_targets
from yolo.explain.loss.ranking import COLUMNS, ImageLosses
from yolo.explain.loss.suspicion import Suspicion, suspicions
from yolo.files.writing import write_text
from yolo.formats.json_file import finite_numbers
from yolo.letterbox import to_image
from yolo.pages import svg
from yolo.pages.bar import BarPart, stacked_bar
from yolo.pages.page import render, write_page

TEMPLATES = Path(__file__).parent / "templates"
RANKING_FILE, TABLE_FILE = "top_losses.json", "losses.csv"
IMAGE_SIDE = 560  # pixels
SHOWN_SIGNS = 5
CURVE_POINTS = 400
PARTS = (("box", "box"), ("objectness_object", "objectness of objects"),
         ("objectness_background", "objectness of the background"), ("class", "classes"))  # fmt: skip


@dataclass(frozen=True)
class RankingAbout:
    """The source of a ranking. data_set: "train" or "valid"; by: one of LOSS_PARTS."""

    command: str
    cfg: str
    weights: str
    data: str
    data_set: str
    by: str
    date: str


@dataclass(frozen=True)
class TopImage:
    """An image of the ranking. place: from 1. losses: one for each of COLUMNS; doubt: 0..1, of its labels.

    signs: with boxes in image pixels.
    """

    place: int
    path: str
    losses: dict[str, float]
    doubt: float
    objects: int
    signs: tuple[Suspicion, ...]


@dataclass(frozen=True)
class TopCard:
    """A TopImage as the page shows it. bar: its loss by part; readable: whether the file could be read."""

    image: TopImage
    drawing: svg.Drawing
    bar: svg.Drawing
    readable: bool

    @property
    def folded(self) -> int:
        """How many signs are not shown."""
        return max(0, len(self.image.signs) - SHOWN_SIGNS)


def write_ranking(
    folder: Path,
    about: RankingAbout,
    losses: ImageLosses,
    images: Sequence[LabeledImage],
    detector: Detector,
    top: int,
) -> Path:
    """Write index.html, top_losses.json and losses.csv, and return the page's path.

    Args:
        folder: for the files.
        about: what was ranked.
        losses: of the images.
        images: in the same order.
        detector: detects again in the first `top` images, which the page shows.
        top: how many.

    Raises:
        OSError: a file cannot be written.
        OutputError: the folder holds a page of another kind.
    """
    order = losses.ranked(about.by)
    cards = [
        _card(place, images[index], losses, int(index), detector) for place, index in enumerate(order[:top], start=1)
    ]
    record = {"about": asdict(about), "images": len(images), "top": [asdict(card.image) for card in cards]}
    page = ranking_page(about, losses, cards, detector.names)
    written = write_page(
        folder, page, RANKING_FILE, json.dumps(finite_numbers(record), indent=1, allow_nan=False) + "\n"
    )
    write_text(folder / TABLE_FILE, loss_table(losses, images, order))
    return written


def ranking_page(about: RankingAbout, losses: ImageLosses, cards: Sequence[TopCard], names: Sequence[str]) -> str:
    """Return the HTML of the page.

    Args:
        about: what was ranked, and how.
        losses: of all images.
        cards: of the images that are shown, in the order of the ranking.
        names: the classes.
    """
    sums = {name: float(losses.by(name).sum()) for name, _ in PARTS}
    total = sum(sums.values())
    return render(
        TEMPLATES,
        "ranking.html.jinja",
        about=about,
        count=len(losses.values),
        mean=total / max(len(losses.values), 1),
        parts=[(meaning, name, sums[name] / total if total else 0.0) for name, meaning in PARTS],
        bar=parts_bar(sums, total, "all images"),
        curve=rank_curve(np.sort(losses.by(about.by))[::-1], len(cards), about.by),
        usual=[(names[label], *losses.usual[label]) for label in sorted(losses.usual) if label < len(names)],
        cards=cards,
        shown_signs=SHOWN_SIGNS,
        prior=PRIOR,
        most_boxes=MOST_BOXES,
    )


def loss_table(losses: ImageLosses, images: Sequence[LabeledImage], order: np.ndarray) -> str:
    """Return all images as CSV, the first of the ranking first."""
    doubt = losses.by("label")
    lines = [",".join(("place", "image", *COLUMNS, "label"))]
    for place, index in enumerate(order.tolist(), start=1):
        path = str(images[index].path)
        quoted = '"' + path.replace('"', '""') + '"' if any(char in path for char in ',"\n\r') else path
        numbers = (f"{value:.6g}" for value in (*losses.values[index], doubt[index]))
        lines.append(",".join((str(place), quoted, *numbers)))
    return "\n".join(lines) + "\n"


def parts_bar(sums: dict[str, float], whole: float, label: str) -> svg.Drawing:
    """Draw the parts of a loss as one bar, whose full width is `whole`."""
    parts = [
        BarPart(name, sums[name] / whole if whole else 0.0, f"{meaning}: {sums[name]:.3g}") for name, meaning in PARTS
    ]
    return stacked_bar(parts, 14.0, f"the loss of {label} by part")


def rank_curve(values: np.ndarray, shown: int, by: str) -> svg.Drawing:
    """Draw the ranked values of all images, descending, with a line after those that the page shows."""
    top = float(values[0]) if len(values) and values[0] > 0 else 1.0
    what = "doubt about the labels of an image" if by == "label" else f"{by} loss of an image"
    frame = svg.ChartFrame(420, 200, 50, 10, 24, 38, (0, max(len(values), 1)), (0, top))
    places = np.unique(np.linspace(0, len(values) - 1, CURVE_POINTS).round().astype(int)) if len(values) else []
    points = [(frame.x(place + 0.5), frame.y(max(float(values[place]), 0.0))) for place in places]
    edge = frame.x(min(shown, len(values)))
    shapes = [
        *svg.y_axis(frame, svg.nice_ticks(0, top), what),
        *svg.x_axis(frame, svg.nice_ticks(0, max(len(values), 1)), "place in the ranking"),
        *svg.area(points, frame.y(0), "fill run-a"),
        *svg.path(points, "stroke run-a"),
        svg.line(edge, frame.top, edge, frame.height - frame.bottom, "dashed"),
    ]
    return svg.Drawing(frame.width, frame.height, shapes, f"{by} of all images, the largest first")


@torch.no_grad()
def _card(place: int, image: LabeledImage, losses: ImageLosses, index: int, detector: Detector) -> TopCard:
    numbers = {name: float(value) for name, value in zip(COLUMNS, losses.values[index], strict=True)}
    doubt, objects = float(losses.by("label")[index]), len(image.ground_truth.labels)
    bar = parts_bar(numbers, float(losses.by("total").max()), image.path.name)
    pixels = read_pixels(image.path)
    if pixels is None:
        top = TopImage(place, str(image.path), numbers, doubt, objects, ())
        return TopCard(top, drawn_boxes(None, image.size, [], IMAGE_SIDE, image.path.name), bar, readable=False)
    channels = detector.network.input.channels
    seen = pixels if channels == pixels.shape[2] else read_image(image.path, channels, ignore_remark)
    inputs, placement = detector.prepare(seen)
    device = next(detector.network.parameters()).device
    raw = detector.network(inputs[None].to(device))
    targets = placed_targets([image.ground_truth], [placement])
    (predictions,) = all_predictions(detector, raw)
    (detections,) = detections_in_input(detector, raw)
    fates = object_fates(predictions, detections, targets, detector.score_thresh)
    doubts = doubts_in_image(losses.rule, predictions, detections, targets, placement)
    signs = [
        replace(sign, box=tuple(to_image(torch.tensor([sign.box]), placement)[0].tolist()))
        for sign in suspicions(fates, detections, targets, detector.names, *doubts)
    ]
    boxes = _boxes(signs, to_image(detections.boxes, placement), detections.labels.tolist(),
                   detections.scores.tolist(), image, detector.names)  # fmt: skip
    drawing = drawn_boxes(pixels, pixels.shape[:2], boxes, IMAGE_SIDE, image.path.name)
    return TopCard(TopImage(place, str(image.path), numbers, doubt, objects, tuple(signs)), drawing, bar, readable=True)


def _boxes(
    signs: Sequence[Suspicion],
    detections: Tensor,
    labels: Sequence[int],
    scores: Sequence[float],
    image: LabeledImage,
    names: Sequence[str],
) -> list[DrawnBox]:
    """Return the boxes to draw, those with a sign of a wrong label on top. detections: xyxy in image pixels."""
    height, width = image.size
    by_target = {sign.target: sign for sign in signs if sign.target is not None}
    by_detection = {sign.detection: sign for sign in signs if sign.target is None}
    boxes = []
    for target, label in enumerate(image.ground_truth.labels.tolist()):
        x, y, w, h = image.ground_truth.boxes[target].tolist()
        corners = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
        sign, name = by_target.get(target), label_name(names, label)
        look = f"ground-truth {'doubted' if sign else ''}".strip()
        boxes.append((sign is not None, DrawnBox(corners, look, sign.text if sign else f"label: {name}")))
    for place, corners in enumerate(detections.tolist()):
        sign = by_detection.get(place)
        text = sign.text if sign else f"detected: {names[labels[place]]} {scores[place]:.2f}"
        boxes.append((sign is not None, DrawnBox(corners, "detection unlabeled" if sign else "detection", text)))
    return [box for _, box in sorted(boxes, key=lambda each: not each[0])]
