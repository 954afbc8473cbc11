"""The images of a data set's page: sheets of each class, near-duplicates, odd labels, images with problems."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolo.data.check import HANDLING
from yolo.data.labeled_images import LabeledImage, image_boxes
from yolo.data.parallel import in_threads
from yolo.explain.boxed_images import MOST_BOXES, DrawnBox, drawn_around, drawn_boxes, read_pixels
from yolo.explain.data_set.duplicates import DuplicateGroup
from yolo.explain.data_set.odd_labels import OddLabel
from yolo.explain.data_set.survey import DataSurvey
from yolo.formats.label_files import label_candidates
from yolo.pages.svg import Drawing
from yolo.records import Problem

SIDE = 220  # longest side of a shown image in pixels
LEAST_PART = 64  # least side in pixels of the part of an image around an odd label
SHEET_IMAGES, LEAST_ON_A_SHEET, MOST_ON_A_SHEET = 320, 2, 8  # of all classes; of one class
SHOWN_GROUPS, SHOWN_OF_A_GROUP = 12, 4
SHOWN_ODD, SHOWN_OF_A_PROBLEM = 12, 8
MOST_LINES = 200  # of problems of one kind without an image
SEVERAL_AT_A_TIME = 1  # images of a task in threads: decoding one takes longer than passing it on


class ShownImage(NamedTuple):
    """An image with its caption. note: in words; file: the image's name."""

    drawing: Drawing
    title: str
    note: str
    file: str


class Sheet(NamedTuple):
    """Random images of a class. objects, images: of the class in the list."""

    name: str
    objects: int
    images: int
    shown: list[ShownImage]


class ShownGroup(NamedTuple):
    """Equal or similar images. title: in words."""

    title: str
    shown: list[ShownImage]
    more: int


class ShownProblems(NamedTuple):
    """The problems of a kind. stops: a training; lines: messages without an image; more: how many are left out."""

    kind: str
    count: int
    stops: bool
    action: str
    shown: list[ShownImage]
    lines: list[str]
    more: int


def sheets_of(survey: DataSurvey, seed: int, each: int | None = None) -> list[Sheet]:
    """Return a sheet of random images for every class of the first list, the rarest first.

    Args:
        survey: of the data set.
        seed: of the random choice.
        each: number of images of a class; None: as many as fit on a page.
    """
    images, counts = survey.images[0], survey.lists[0]
    classes = sum(count > 0 for count in counts.class_objects)
    wanted = each or images_on_a_sheet(classes)
    rng = np.random.default_rng(seed)
    ground_truth = images.ground_truth
    image_of = ground_truth.image_index()
    order = sorted((count, label) for label, count in enumerate(counts.class_objects) if count)
    chosen = []
    for _, label in order:
        with_it = np.unique(image_of[ground_truth.labels == label])
        chosen.append((label, np.sort(rng.choice(with_it, min(wanted, len(with_it)), replace=False)).tolist()))
    tasks = [(label, place) for label, places in chosen for place in places]
    drawn = iter(
        list(in_threads(lambda task: _of_class(images[task[1]], task[0], survey.names), tasks, SEVERAL_AT_A_TIME))
    )
    return [
        Sheet(
            survey.names[label], counts.class_objects[label], counts.class_images[label], [next(drawn) for _ in places]
        )
        for label, places in chosen
    ]


def images_on_a_sheet(classes: int) -> int:
    """Return how many images of each class fit on a page, for a number of `classes` with images."""
    return min(max(SHEET_IMAGES // max(classes, 1), LEAST_ON_A_SHEET), MOST_ON_A_SHEET)


def shown_group(group: DuplicateGroup, shown: list[ShownImage]) -> ShownGroup:
    """Return a group of which some images are shown."""
    kind = "the same file" if group.exact else "nearly the same image"
    return ShownGroup(f"{kind}, {len(group.members)} times", shown, len(group.members) - len(shown))


def shown_groups(survey: DataSurvey, groups: Sequence[DuplicateGroup]) -> list[ShownGroup]:
    """Return the first groups of similar images."""
    found = []
    for group in groups[:SHOWN_GROUPS]:
        shown = []
        for member in _from_both(survey, group)[:SHOWN_OF_A_GROUP]:
            number, place = survey.list_of(member)
            image = survey.images[number][place]
            shown.append(_shown_image(image, survey.names, (), survey.lists[number].name, ""))
        found.append(shown_group(group, shown))
    return found


def shown_odd(survey: DataSurvey, found: Sequence[tuple[int, OddLabel]]) -> list[ShownImage]:
    """Return the first odd labels, each cut out of its image."""
    shown = []
    for number, odd in found[:SHOWN_ODD]:
        image = survey.images[number][odd.image]
        pixels = read_pixels(image.path)
        boxes = image_boxes(image.ground_truth, image.size)
        drawn = [DrawnBox(boxes[each], "fault" if each == odd.boxes[0] else "second",
                          survey.names[image.ground_truth.labels[each]]) for each in odd.boxes]  # fmt: skip
        lines = ", ".join(str(image.lines[each]) for each in odd.boxes) if image.lines else ""
        place = f"{survey.lists[number].name}, line {lines}"
        shown.append(
            ShownImage(drawn_around(pixels, drawn, SIDE, odd.what, LEAST_PART), odd.what, place, image.path.name)
        )
    return shown


def shown_problems(survey: DataSurvey) -> list[ShownProblems]:
    """Return the problems by kind, the first ones with their images."""
    by_kind: dict[str, list[Problem]] = {}
    for problem in survey.problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    first = [problem for each in by_kind.values() for problem in each[:SHOWN_OF_A_PROBLEM]]
    found = images_of_problems(survey, first)
    result = []
    for kind, problems in by_kind.items():
        shown, lines = [], []
        for problem in problems[: MOST_LINES + SHOWN_OF_A_PROBLEM]:
            image = found.get(problem.message)
            if image is None:
                lines.append(problem.message)
            else:
                shown.append(_of_problem(image, problem, survey.names))
        handling = HANDLING[kind]
        more = len(problems) - len(shown) - len(lines)
        result.append(ShownProblems(kind, len(problems), handling.stops, handling.action, shown, lines, more))
    return result


def images_of_problems(survey: DataSurvey, problems: Iterable[Problem]) -> dict[str, LabeledImage]:
    """Return the usable images that messages of problems are about, by message. They begin with the image or its
    label file."""
    wanted: dict[str, list[str]] = {}
    for problem in problems:
        wanted.setdefault(_file_of(problem.message), []).append(problem.message)
    found = {}
    for images in survey.images:
        for place, path in enumerate(images.paths):
            number = int(images.label_places[place])
            names = [path] if number < 0 else [path, str(label_candidates(Path(path))[number])]
            for message in (message for name in names for message in wanted.get(name, ())):
                found[message] = images[place]
    return found


def _of_class(image: LabeledImage, label: int, names: Sequence[str]) -> ShownImage:
    chosen = np.flatnonzero(image.ground_truth.labels == label).tolist()
    return _shown_image(image, names, chosen, "", _contents(image, names))


def _of_problem(image: LabeledImage, problem: Problem, names: Sequence[str]) -> ShownImage:
    line = re.match(r":(\d+): ", problem.message.removeprefix(_file_of(problem.message)))
    chosen = [place for place, number in enumerate(image.lines) if line and number == int(line[1])]
    return _shown_image(image, names, chosen, "", problem.message, "fault")


def _shown_image(
    image: LabeledImage, names: Sequence[str], chosen: Sequence[int], title: str, note: str, look: str = "chosen"
) -> ShownImage:
    """Return an image with its boxes, at most MOST_BOXES; those of `chosen` come first and are highlighted."""
    boxes, labels = image_boxes(image.ground_truth, image.size), image.ground_truth.labels.tolist()
    first = set(chosen)
    order = [*chosen, *(each for each in range(len(boxes)) if each not in first)]
    drawn = [DrawnBox(boxes[each], look if each in first else "other", names[labels[each]]) for each in order]
    label = f"{image.path.name}: {note or title}"
    if len(boxes) > MOST_BOXES:
        note = "; ".join(filter(None, (note, f"{MOST_BOXES} of {len(boxes):,} boxes are drawn")))
    return ShownImage(
        drawn_boxes(read_pixels(image.path), image.size, drawn, SIDE, label), title, note, image.path.name
    )


def _contents(image: LabeledImage, names: Sequence[str]) -> str:
    """Return for example "2 dogs"-like counts: dog 2, cat 1."""
    counts = Counter(image.ground_truth.labels.tolist()).most_common(4)
    return ", ".join(f"{names[label]} {count}" for label, count in counts)


def _from_both(survey: DataSurvey, group: DuplicateGroup) -> list[int]:
    """Return the members of a group so that the first two are of different lists, if it has images of both."""
    first = group.members[0]
    other = next((each for each in group.members if survey.list_of(each)[0] != survey.list_of(first)[0]), None)
    return (
        list(group.members) if other is None else [first, other, *(each for each in group.members[1:] if each != other)]
    )


def _file_of(message: str) -> str:
    """Return the file that a message begins with: "labels/a.txt:3: found ..." or "a.jpg: no such file"."""
    found = re.match(r"(.*?)(?::\d+)?: ", message)
    return found[1] if found else ""
