"""The page of a film strip: for each image its frames from step to step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.pages.page import file_uri, render

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class FilmMoment:
    """A step, and what was found in each image then, by its name."""

    step: int
    captions: Mapping[str, str]


@dataclass(frozen=True)
class FilmImage:
    """An image of the strip. frames: the content of a JPEG file for each moment."""

    name: str
    path: str
    frames: Sequence[bytes]


def film_page(title: str, images: Sequence[FilmImage], moments: Sequence[FilmMoment]) -> str:
    """Return the page."""
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
    return render(TEMPLATES, "film.html.jinja", title=title, strips=strips, moments=moments)
