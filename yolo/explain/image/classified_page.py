"""The part of the page about the result of a classifier for an image."""

from collections.abc import Sequence
from dataclasses import dataclass

from yolo.explain.image import drawings
from yolo.explain.image.classified import ClassCause, ClassifiedExplanation
from yolo.explain.image.page import TEMPLATES, ImagePart
from yolo.explain.image.views import CauseView, css_color, feature_views
from yolo.explain.map_images import heat_uri, input_uri, photo_uri
from yolo.explain.section import PageSection
from yolo.pages.svg import Drawing, SvgElement


@dataclass(frozen=True)
class ClassRow:
    """A class in the list: its raw value, its probability, its color, and whether it has maps."""

    name: str
    raw: float
    probability: float
    color: str
    mapped: bool


@dataclass(frozen=True)
class ClassPanel:
    """The maps of a class."""

    name: str
    color: str
    causes: tuple[CauseView, ...]


def classified_part(explanation: ClassifiedExplanation, names: Sequence[str], number: int = 0) -> ImagePart:
    """Return the part of one image.

    Args:
        explanation: of the image.
        names: of the classes.
        number: of the image on the page, for the ids of elements.
    """
    identity = f"image{number}"
    photo = f"{identity}-photo"
    _, height, width = explanation.network_input.shape
    scale = drawings.LONG_SIDE / max(height, width)
    frame = drawings.InputFrame(width * scale, height * scale, photo)
    placed = input_uri(explanation.network_input)
    image = SvgElement("g", {"id": photo}, parts=(frame.overlay(placed, "cells"),))
    mapped = {each.label for each in explanation.causes}
    rows = tuple(
        ClassRow(names[each.label], each.raw, each.probability, css_color(each.label), each.label in mapped)
        for each in explanation.answers
    )
    panels = [
        ClassPanel(names[cause.label], css_color(cause.label), _cause_views(frame, cause, (height, width)))
        for cause in explanation.causes
    ]
    content = {
        "photo": Drawing(frame.width, frame.height, [image], "the network input", "scene"),
        "image": photo_uri(explanation.pixels),
        "image_size": explanation.pixels.shape[1::-1],
        "size": (width, height),
        "letterbox": explanation.letterbox,
    }
    sections = [
        PageSection("What enters the network", TEMPLATES, "classified_input.html.jinja", content),
        PageSection("What the network answers", TEMPLATES, "classes.html.jinja", rows),
    ]
    if panels:
        sections.append(PageSection("What raises a class", TEMPLATES, "class_maps.html.jinja", panels))
    features = feature_views(explanation.features, width / height)
    if features:
        sections.append(PageSection("What the layers compute", TEMPLATES, "features.html.jinja", features))
    best = ", ".join(f"{row.name} {row.probability:.2f}" for row in rows[:3])
    return ImagePart(
        name=explanation.name,
        identity=identity,
        summary=f"The network answers {best}.",
        counts=((f"{rows[0].probability:.2f}", f"probability of {rows[0].name}"), (len(names), "classes")),
        sections=tuple(sections),
    )


def _cause_views(frame: drawings.InputFrame, cause: ClassCause, network: tuple[int, int]) -> tuple[CauseView, ...]:
    """Draw the maps of a class; network: (height, width) of the network input."""
    views = [
        _cause_view(frame, f"LayerCAM at layer {layer}", f"{cam.shape[1]} × {cam.shape[0]} places", heat_uri(cam))
        for layer, cam in cause.cams.items()
    ]
    wide, high = cause.span.size[::-1]
    words = f"90% of the gradient in each direction lies in {wide} × {high} px of the input"
    span = [frame.rectangle(drawings.relative(cause.span, network), "effective")]
    return *views, _cause_view(frame, "What the score depends on", words, heat_uri(cause.sensitivity), span)


def _cause_view(
    frame: drawings.InputFrame,
    title: str,
    words: str,
    uri: str | None,
    outlines: Sequence[SvgElement] = (),
) -> CauseView:
    drawing = drawings.heat_drawing(frame, uri, outlines, title)
    return CauseView(title, words if uri else "no channel of this layer raises the score", drawing, uri is None)
