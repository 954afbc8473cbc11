"""Find an image by the name that an annotation gives it: a path of another machine, other letters, another ending."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from yolo.defaults import IMAGE_ENDINGS


@dataclass(frozen=True)
class Listing:
    """A folder and the names of its files."""

    folder: Path
    names: frozenset[str]

    @cached_property
    def similar(self) -> Mapping[str, str | None]:
        """The images by name and by name without ending, in lower case; None where there are several."""
        found: dict[str, str | None] = {}
        for name in self.names:
            stem, ending = os.path.splitext(name.lower())
            if ending in IMAGE_ENDINGS and not name.startswith("."):
                for key in (name.lower(), stem):
                    found[key] = None if key in found else name
        return found

    def find(self, name: str) -> str | None:
        """Return the only image that differs from a name in upper and lower case or in the ending, if at all."""
        lower = name.lower()
        return self.similar.get(lower) or self.similar.get(os.path.splitext(lower)[0])


def list_images(folder: Path) -> Listing | None:
    """Return the names of the files in a folder; None if there is no such folder."""
    try:
        return Listing(folder, frozenset(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return None


def find_image(name: str, listing: Callable[[str], Listing | None]) -> str | None:
    """Return the path of an image, relative to the folder of all images; None if it is not there.

    The name itself comes first, then the name without its first folders, as far as no such folders are there (they are
    another machine's), then the same in other letters or with another ending.

    Args:
        name: With / between folders.
        listing: Returns the files of a folder, given relative to the folder of all images.
    """
    *folders, last = name.split("/")
    for is_exact in (True, False):
        for start in range(len(folders) + 1):
            if start and listing(folders[start - 1]) is not None:
                break
            inner = "/".join(folders[start:])
            there = listing(inner)
            if there is not None:
                found = last if is_exact and last in there.names else None if is_exact else there.find(last)
                if found:
                    return f"{inner}/{found}" if inner else found
    return None


def shared_parts(image: str, name: str) -> int:
    """Return how many parts the ends of two paths share; the last ones in any letters and with any ending."""
    (*folders, last), (*inner, given) = image.split("/"), name.split("/")
    if os.path.splitext(last)[0].lower() not in (given.lower(), os.path.splitext(given)[0].lower()):
        return 0
    pairs = zip(reversed(folders), reversed(inner), strict=False)
    return 1 + next((count for count, (one, other) in enumerate(pairs) if one != other), min(len(folders), len(inner)))
