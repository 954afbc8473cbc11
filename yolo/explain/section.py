"""A part of a page about an image. Several subjects, such as the boxes and the loss, put their sections on one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PageSection:
    """A part of a page, with its own heading.

    title: the heading. folder: the templates, style sheets and scripts of the subject. template: the name of a
    template in it, which reads `content` as `section.content`. `identity` in the template is a word that is unique on
    the page for the image of the section, for ids of elements.
    """

    title: str
    folder: Path
    template: str
    content: Any
