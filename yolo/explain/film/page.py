"""The page of a film strip: for each image its frames from step to step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.detect.draw import class_color
from yolo.pages.page import file_uri, render

TEMPLATES = Path(__file__).parent / "templates"
MOST_IN_LEGEND = 20


@dataclass(frozen=True)
class FilmMoment:
    """A step, and the detections in each image at this step, as captions by its name."""

    step: int
    captions: Mapping[str, str]


@dataclass(frozen=True)
class FilmImage:
    """An image of the strip. frames: the content of a JPEG file for each moment."""

    name: str
    path: str
    frames: Sequence[bytes]


def film_page(title: str, images: Sequence[FilmImage], moments: Sequence[FilmMoment], names: Sequence[str]) -> str:
    """Return the page.

    Args:
        title: of the run.
        images: with their frames.
        moments: the steps.
        names: of the classes, whose colors are explained if they are few or detected in an image.
    """
    found = ", ".join(("", *(caption for moment in moments for caption in moment.captions.values())))
    shown = [label for label, name in enumerate(names) if len(names) <= MOST_IN_LEGEND or f", {name} " in found]
    legend = [(names[label], "rgb({} {} {})".format(*class_color(label))) for label in shown[:MOST_IN_LEGEND]]
    strips = [
        (
            image,
            [
                (moment.step, moment.captions.get(image.name, ""), file_uri(frame, ".jpg"))
                for moment, frame in zip(moments, image.frames, strict=True)
            ],
        )
        for image in images
    ]
    return render(TEMPLATES, "film.html.jinja", title=title, strips=strips, moments=moments, legend=legend)
