"""The survey and the page of a classifier's data set: images of each class, sizes, duplicates, problems, sheets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from yolo.data.class_folders import ClassifiedImage, images_per_class, read_classified
from yolo.data.image_header import read_header
from yolo.data.parallel import in_threads
from yolo.data_file import DataFile, check_data_files
from yolo.errors import DatasetError
from yolo.explain.boxed_images import drawn_boxes, read_pixels
from yolo.explain.data_set.advice import SHOWN, Advice, kinds_text
from yolo.explain.data_set.counting import MOST_SIZES
from yolo.explain.data_set.duplicates import DuplicateGroup, duplicate_groups
from yolo.explain.data_set.fingerprints import fingerprints_of
from yolo.explain.data_set.page import NUMBERS_FILE, TEMPLATES
from yolo.explain.data_set.shown_images import (
    MOST_LINES,
    SHOWN_GROUPS,
    SHOWN_OF_A_GROUP,
    SIDE,
    ShownGroup,
    ShownImage,
    images_on_a_sheet,
    shown_group,
)
from yolo.formats.json_file import readable_json
from yolo.names_file import read_classes
from yolo.pages.page import count_text, render, write_page
from yolo.records import Problem

FEW_IMAGES = 20  # of a class to learn from


@dataclass(frozen=True)
class ClassifiedList:
    """name: train or valid. counts: images of each class. sizes: ((width, height), images), the most frequent first."""

    name: str
    images: int
    counts: tuple[int, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]
    other_sizes: int


@dataclass(frozen=True)
class ClassifiedSurvey:
    """The survey of a classifier's data set. groups: similar images, positions counted through the lists.

    conflicts: groups whose images have different classes.
    """

    title: str
    names: tuple[str, ...]
    lists: tuple[ClassifiedList, ...]
    images: tuple[tuple[ClassifiedImage, ...], ...]
    problems: tuple[Problem, ...]
    groups: tuple[DuplicateGroup, ...]
    conflicts: tuple[DuplicateGroup, ...]

    def image_at(self, place: int) -> tuple[str, ClassifiedImage]:
        """Return the list and the image at a position that is counted through the lists."""
        for each, images in zip(self.lists, self.images, strict=True):
            if place < len(images):
                return each.name, images[place]
            place -= len(images)
        raise IndexError(place)

    def both_lists(self, group: DuplicateGroup) -> bool:
        """Return whether a group has images of both lists."""
        return len({self.image_at(member)[0] for member in group.members}) > 1


def survey_classified(data: DataFile, channels: int = 3) -> ClassifiedSurvey:
    """Read a classifier's data set and count what the page shows.

    Raises:
        DatasetError: there is no list, no names, or no usable image.
    """
    check_data_files(data, "names", "labels", "train", "valid")
    if data.labels is None:
        raise DatasetError(f"{data.path}: found neither names nor labels, expected the classes of the images")
    names = list(read_classes(data.labels))
    paths = {name: path for name, path in (("train", data.train), ("valid", data.valid)) if path is not None}
    if not paths:
        raise DatasetError(f"{data.path}: found neither train nor valid, expected a folder or a list of images")
    found = {name: read_classified(path, names, channels) for name, path in paths.items()}
    images = tuple(each.images for each in found.values())
    if not any(images):
        first = next((problem.message for each in found.values() for problem in each.problems), "none")
        raise DatasetError(f"{data.path}: found no usable image; problems: {first}")
    files = [str(image.path) for each in images for image in each]
    groups = tuple(duplicate_groups(fingerprints_of(files), files))
    labels = [image.label for each in images for image in each]
    return ClassifiedSurvey(
        title=data.name,
        names=tuple(names),
        lists=tuple(_count(name, each.images, len(names)) for name, each in found.items()),
        images=images,
        problems=tuple(problem for each in found.values() for problem in each.problems),
        groups=groups,
        conflicts=tuple(group for group in groups if len({labels[member] for member in group.members}) > 1),
    )


def classified_advice(survey: ClassifiedSurvey) -> list[Advice]:
    """Return advice from the survey, the worst first."""
    found = []
    kinds = Counter(problem.kind for problem in survey.problems)
    if kinds:
        found.append(Advice("warn", f"the check found: {kinds_text(kinds)}", "see Problems"))
    across = sum(map(survey.both_lists, survey.groups))
    if across:
        found.append(
            Advice(
                "bad",
                f"{count_text(across, 'group')} of nearly equal images in train and in valid, so the score is too high",
                "move each to one list",
            )
        )
    if survey.conflicts:
        found.append(
            Advice(
                "bad",
                f"{count_text(len(survey.conflicts), 'group')} of nearly equal images with different classes",
                "one of the classes is wrong, or the image has both",
            )
        )
    counts = survey.lists[0].counts
    few = sorted((count, name) for count, name in zip(counts, survey.names, strict=True) if count < FEW_IMAGES)
    if few:
        shown = ", ".join(f"{name} ({count})" for count, name in few[:SHOWN]) + (", ..." if len(few) > SHOWN else "")
        text = f"{count_text(len(few), 'class')} with fewer than {FEW_IMAGES} images: {shown}"
        found.append(Advice("warn", text, "add more of them"))
    if not found:
        found.append(Advice("good", "the images of all classes can be read, and no two are nearly the same"))
    return sorted(found, key=lambda each: each.level != "bad")


def write_classified_page(folder: str | Path, survey: ClassifiedSurvey, seed: int = 0, each: int | None = None) -> Path:
    """Write the page of a classifier's data set and its data.json, and return the path of the page.

    Args:
        folder: gets index.html and data.json.
        survey: of the data set.
        seed: of the random images.
        each: number of random images of a class; None: as many as fit on a page.

    Raises:
        OutputError: the folder holds a page of another kind.
        OSError: a file cannot be written.
    """
    page = render(
        TEMPLATES,
        "classified.html.jinja",
        survey=survey,
        advice=classified_advice(survey),
        order=sorted(range(len(survey.names)), key=lambda label: -survey.lists[0].counts[label]),
        groups=[
            _shown(survey, group)
            for group in sorted(survey.groups, key=lambda group: not survey.both_lists(group))[:SHOWN_GROUPS]
        ],
        sheets=_sheets(survey, seed, each),
        lines=[problem.message for problem in survey.problems[:MOST_LINES]],
        seed=seed,
    )
    content = {
        "names": survey.names,
        "advice": [each._asdict() for each in classified_advice(survey)],
        "lists": [asdict(each) for each in survey.lists],
        "duplicates": [[str(survey.image_at(member)[1].path) for member in group.members] for group in survey.groups],
        "problems": [asdict(problem) for problem in survey.problems],
    }
    numbers = readable_json(content, indent=1) + "\n"
    return write_page(folder, page, NUMBERS_FILE, numbers)


def _count(name: str, images: Sequence[ClassifiedImage], classes: int) -> ClassifiedList:
    sizes = Counter(size for size in in_threads(lambda image: _size(image.path), images) if size)
    counts = tuple(images_per_class(images, classes))
    return ClassifiedList(
        name, len(images), counts, tuple(sizes.most_common(MOST_SIZES)), max(len(sizes) - MOST_SIZES, 0)
    )


def _size(path: Path) -> tuple[int, int] | None:
    """Return the (width, height) in the header of an image."""
    header = read_header(path)
    return header.size[::-1] if header else None


def _sheets(survey: ClassifiedSurvey, seed: int, each: int | None) -> list[tuple[str, int, list[ShownImage]]]:
    """Return (class, images, random images) of the first list, the rarest first."""
    counts, images = survey.lists[0].counts, survey.images[0]
    wanted = each or images_on_a_sheet(sum(map(bool, counts)))
    labels, rng, sheets = np.array([image.label for image in images]), np.random.default_rng(seed), []
    for count, label in sorted((count, label) for label, count in enumerate(counts) if count):
        chosen = np.sort(rng.choice(np.flatnonzero(labels == label), min(wanted, count), replace=False))
        sheets.append((survey.names[label], count, [_shown_image(images[place], "", "") for place in chosen]))
    return sheets


def _shown(survey: ClassifiedSurvey, group: DuplicateGroup) -> ShownGroup:
    shown = [survey.image_at(member) for member in group.members[:SHOWN_OF_A_GROUP]]
    images = [_shown_image(image, name, survey.names[image.label]) for name, image in shown]
    return shown_group(group, images)


def _shown_image(image: ClassifiedImage, title: str, note: str) -> ShownImage:
    pixels = read_pixels(image.path)
    size = (3, 4) if pixels is None else pixels.shape[:2]
    return ShownImage(drawn_boxes(pixels, size, (), SIDE, image.path.name), title, note, image.path.name)
