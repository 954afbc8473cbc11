"""The page that explains images: `explain.html.jinja`, its sections, and the numbers beside it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolo.explain.image.decode_steps import Quantity
from yolo.explain.image.drawings import input_frame
from yolo.explain.image.explanation import Explanation
from yolo.explain.image.fates import BoxFate
from yolo.explain.image.origin import origin_of
from yolo.explain.image.views import Rules, boxes_view, detection_views, feature_views, heads_view, input_view
from yolo.explain.section import PageSection
from yolo.formats.json_file import finite_numbers
from yolo.pages.page import render, write_page

TEMPLATES = Path(__file__).parent / "templates"
EXPLANATION_FILE = "explain.json"
MOST_IN_SUMMARY = 6  # detections
MOST_NUMBERS = 1000  # detections in explain.json


@dataclass(frozen=True)
class AboutNetwork:
    """The source of the numbers. title: of the network; command: the command line; remark: a line, or ""."""

    title: str
    command: str
    cfg: str
    weights: str
    remark: str = ""


@dataclass(frozen=True)
class ImagePart:
    """The part of the page about one image. summary: one sentence with its numbers."""

    name: str
    identity: str
    summary: str
    counts: tuple[tuple[int | str, str], ...]
    sections: tuple[PageSection, ...]


def image_part(
    explanation: Explanation, names: Sequence[str], rules: Rules, number: int = 0, label: int | None = None
) -> ImagePart:
    """Return the part of one image with its own sections; others can be added to `sections`.

    Args:
        explanation: of the image.
        names: of the classes.
        rules: the thresholds.
        number: of the image on the page, for the ids of elements.
        label: a class whose map and detections come first.
    """
    identity = f"image{number}"
    photo = f"{identity}-photo"
    boxes = boxes_view(explanation, names, photo, rules)
    detections = detection_views(explanation, names, photo)
    first = explanation.causes[0].detection if explanation.causes else 0

    def section(title: str, template: str, content: object) -> PageSection:
        return PageSection(title, TEMPLATES, template, content)

    sections = [
        section("What enters the network", "input.html.jinja", input_view(explanation, photo)),
        section("What each cell answers", "heads.html.jinja", heads_view(explanation, names, photo, label)),
        section("From all boxes to the detections", "boxes.html.jinja", boxes),
    ]
    if detections:
        content = {"detections": detections, "first": first, "all": len(explanation.fates.kept)}
        sections.append(section("Why is this box here?", "detections.html.jinja", content))
    frame = input_frame(explanation.placement, photo)
    features = feature_views(explanation.features, frame.width / frame.height)
    sections.append(section("What the layers compute", "features.html.jinja", features))
    return ImagePart(
        name=explanation.name,
        identity=identity,
        summary=_summary(explanation, names, rules, label),
        counts=(
            (boxes.predictions, "boxes predicted"),
            (boxes.kept + boxes.suppressed, f"with a score above {rules.score_thresh:g}"),
            (boxes.suppressed, "suppressed by NMS"),
            (boxes.kept, "detection" if boxes.kept == 1 else "detections"),
        ),
        sections=tuple(sections),
    )


def explanation_page(about: AboutNetwork, parts: Sequence[ImagePart]) -> str:
    """Return the page of some images."""
    folders = dict.fromkeys([TEMPLATES, *(section.folder for part in parts for section in part.sections)])
    titles = short_names([part.name for part in parts])
    return render(tuple(folders), "explain.html.jinja", about=about, parts=parts, titles=titles)


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the file name of each path, with its folder where several have that name."""
    times = Counter(Path(path).name for path in paths)
    return ["/".join(Path(path).parts[-2:]) if times[Path(path).name] > 1 else Path(path).name for path in paths]


def write_explained(
    folder: str | Path, about: AboutNetwork, parts: Sequence[ImagePart], numbers: Sequence[dict[str, Any]]
) -> Path:
    """Write the page and explain.json, and return the page's path.

    Args:
        folder: created if it does not exist.
        about: the network.
        parts: of each image.
        numbers: of each image, as `explanation_numbers` returns them.

    Raises:
        OSError: a file cannot be written.
        OutputError: the folder holds a page of another kind.
    """
    return write_page(folder, explanation_page(about, parts), EXPLANATION_FILE, explained_text(about, numbers))


def explained_text(about: AboutNetwork, numbers: Sequence[dict[str, Any]]) -> str:
    """Return explain.json; numbers that are not finite, as of weights that diverged, are null."""
    content = {"cfg": about.cfg, "weights": about.weights, "command": about.command, "images": finite_numbers(numbers)}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def explanation_numbers(explanation: Explanation, names: Sequence[str], rules: Rules) -> dict[str, Any]:
    """Return the numbers of an image for JSON; a number that is not finite is null."""
    fates, placement = explanation.fates, explanation.placement
    every = [*fates.kept[:MOST_NUMBERS], *fates.suppressed, *fates.below]
    places = {(each.prediction, each.label): place for place, each in enumerate(fates.kept)}
    causes = {each.detection: each for each in explanation.causes}
    numbers = {
        "image": explanation.name,
        "image_size": placement.image[::-1],
        "input_size": placement.network[::-1],
        "content_size": placement.content[::-1],
        "thresh": rules.score_thresh,
        "nms": rules.nms_thresh,
        "nms_kind": rules.nms_kind,
        "heads": [
            {
                "layer": grid.layer,
                "kind": grid.kind,
                "grid": [grid.width, grid.height],
                "anchors": grid.anchors,
                "predictions": grid.count,
                "highest_objectness": float(maps.objectness.max()),
            }
            for grid, maps in zip(explanation.grids, explanation.heads, strict=True)
        ],
        "predictions": fates.predictions,
        "below_count": fates.below_count,
        "suppressed_count": fates.suppressed_count,
        "kept_count": len(fates.kept),
        "boxes": [_box_numbers(explanation, fate, names, places.get((fate.suppressor, fate.label))) for fate in every],
        "detections": [
            {
                "raw": dict(found.decoded.raw),
                "steps": {each.symbol: _quantity_numbers(each) for each in found.decoded.quantities},
                "pixels": {each.symbol: _quantity_numbers(each) for each in found.decoded.in_image},
                "receptive_field": found.field,
                "gradient_span": causes[place].span if place in causes else None,
                "layer_cam": list(causes[place].cams) if place in causes else [],
            }
            for place, found in enumerate(explanation.detections)
        ],
    }
    return finite_numbers(numbers)


def _box_numbers(
    explanation: Explanation, fate: BoxFate, names: Sequence[str], suppressed_by: int | None
) -> dict[str, Any]:
    origin = origin_of(explanation.grids, fate.prediction)
    return {
        "class": fate.label,
        "name": names[fate.label],
        "score": fate.score,
        "objectness": fate.objectness,
        "class_probability": fate.class_prob,
        "box": fate.box,
        "fate": fate.fate,
        "suppressed_by": suppressed_by,
        "overlap": fate.overlap,
        "iou": fate.iou,
        "prediction": fate.prediction,
        "layer": explanation.grids[origin.head].layer,
        "anchor": origin.anchor,
        "row": origin.row,
        "column": origin.column,
    }


def _quantity_numbers(quantity: Quantity) -> list[dict[str, Any]]:
    return [{"formula": step.formula, "numbers": step.with_numbers, "value": step.value} for step in quantity.steps]


def _summary(explanation: Explanation, names: Sequence[str], rules: Rules, label: int | None) -> str:
    """Return a sentence on what the network detected, and why the class of `--class` was not detected."""
    fates = explanation.fates
    shown = ", ".join(f"{names[each.label]} {each.score:.2f}" for each in fates.kept[:MOST_IN_SUMMARY])
    more = " and more" if len(fates.kept) > MOST_IN_SUMMARY else ""
    words = f"The network finds {shown}{more}."
    if not fates.kept:
        words = f"No box has a score above {rules.score_thresh:g}, so nothing is detected."
    elif label is None or any(each.label == label for each in fates.kept):
        return words
    best = next((each for each in fates.below if label in (None, each.label)), None)
    if best is None:
        return words
    parts = f"objectness {best.objectness:.3f} × probability {best.class_prob:.3f}"
    return f"{words} The best {names[best.label]} has {parts} = {best.score:.3f}."
