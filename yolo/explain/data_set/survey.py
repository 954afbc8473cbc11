"""The survey of a data set, as records for its page: one pass over the checked lists, one over the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.data.anchors import HeadAnchors
from yolo.data.check import HANDLING, CheckedSet, box_sides, check_list, network_boxes, problems_of_lists
from yolo.data.labeled_images import LabeledImages
from yolo.data_file import DataFile, check_data_files, check_names
from yolo.errors import DatasetError
from yolo.explain.data_set.anchor_study import AnchorStudy, study_anchors
from yolo.explain.data_set.counting import ListCounts, count_list, shifted_classes
from yolo.explain.data_set.duplicates import DuplicateGroup, duplicate_groups
from yolo.explain.data_set.fingerprints import Fingerprints, fingerprints_of
from yolo.explain.data_set.odd_labels import OddLabel, doubled_labels, unusual_sizes
from yolo.explain.data_set.shapes_of_boxes import BoxShapes, shapes_of_boxes
from yolo.letterbox import Placement
from yolo.names_file import read_classes
from yolo.records import Problem, Size

TRAIN, VALID = LISTS = ("train", "valid")


@dataclass(frozen=True)
class NetworkView:
    """How a network gets an image. size: (height, width) of its input; placed: the placement of an image; channels.

    heads: with anchors, perhaps none; iou_thresh: of the cfg; in_cells: the cfg's anchors are in cells. cfg: the file's
    name, "" for a network that is only assumed; classifies: it has no detection head.
    """

    size: Size
    placed: Callable[[Size, Size], Placement]
    channels: int = 3
    heads: tuple[HeadAnchors, ...] = ()
    iou_thresh: float = 1.0
    in_cells: bool = False
    cfg: str = ""
    classifies: bool = False


@dataclass(frozen=True)
class DataSurvey:
    """The survey of a data set. lists: train and valid, if they exist. shapes: of each list, None without a box.

    shifts: (class, part of train, part of valid). problems: of both lists, those that stop a run first. groups: equal
    and similar images, positions counted through the lists. doubled, unusual: (list, label). anchors: None without a
    cfg with anchors or without a box.
    """

    title: str
    data: str
    names: tuple[str, ...]
    frame: NetworkView
    lists: tuple[ListCounts, ...]
    images: tuple[LabeledImages, ...]
    shapes: tuple[BoxShapes | None, ...]
    shifts: tuple[tuple[int, float, float], ...]
    problems: tuple[Problem, ...]
    groups: tuple[DuplicateGroup, ...]
    doubled: tuple[tuple[int, OddLabel], ...]
    unusual: tuple[tuple[int, OddLabel], ...]
    anchors: AnchorStudy | None

    def list_of(self, place: int) -> tuple[int, int]:
        """Return the list of an image that is counted through the lists, and its position in it."""
        for number, images in enumerate(self.images):
            if place < len(images):
                return number, place
            place -= len(images)
        raise IndexError(place)

    def across(self, group: DuplicateGroup) -> bool:
        """Return whether a group has images of both lists."""
        return len({self.list_of(member)[0] for member in group.members}) > 1

    def problem_counts(self) -> dict[str, int]:
        """Return how many problems of each kind there are, those that stop a run first."""
        counts = Counter(problem.kind for problem in self.problems)
        return {kind: counts[kind] for kind in HANDLING if counts[kind]}


def survey_data(data: DataFile, frame: NetworkView, recheck: bool = False, seed: int = 0) -> DataSurvey:
    """Read a detection data set and count what the page shows.

    Args:
        data: the .data file, with a train or a valid list.
        frame: of the network.
        recheck: read files that have not changed since the last check, too.
        seed: of k-means.

    Raises:
        DatasetError: there is no list, no names, or no usable image.
    """
    check_data_files(data, "names", "train", "valid", "difficult")
    names = class_names(data)
    paths = {name: path for name, path in ((TRAIN, data.train), (VALID, data.valid)) if path is not None}
    if not paths:
        raise DatasetError(f"{data.path}: found neither train nor valid, expected a list of images")
    checked = {
        name: check_list(path, len(names), frame.channels, data.difficult if name == VALID else None, recheck)
        for name, path in paths.items()
    }
    images = tuple(each.images for each in checked.values())
    if not any(map(len, images)):
        raise DatasetError(f"{data.path}: found no usable image; problems: {_first_problem(checked)}")
    lists = tuple(count_list(name, each.images, len(names)) for name, each in checked.items())
    looks = [
        fingerprints_of(_paths(each), Path(path), recheck) for each, path in zip(images, paths.values(), strict=True)
    ]
    return DataSurvey(
        title=data.name,
        data=data.path,
        names=tuple(names),
        frame=frame,
        lists=lists,
        images=images,
        shapes=tuple(_shapes(each, frame) for each in images),
        shifts=tuple(shifted_classes(*lists)) if len(lists) == len(LISTS) else (),
        problems=tuple(_problems(checked, names, frame)),
        groups=tuple(duplicate_groups(joined_fingerprints(looks), [path for each in images for path in _paths(each)])),
        doubled=_in_lists(images, lambda each: doubled_labels(each.ground_truth, tuple(names))),
        unusual=_in_lists(images, lambda each: unusual_sizes(each.ground_truth, each.sizes, tuple(names))),
        anchors=_anchors(images, names, frame, seed),
    )


def class_names(data: DataFile) -> list[str]:
    """Return the names of the classes; numbers where the .data file names no file of names."""
    if data.names is None:
        return [f"class {number}" for number in range(data.classes)]
    names = list(read_classes(data.names))
    check_names(data, names)
    return names


def joined_fingerprints(parts: Sequence[Fingerprints]) -> Fingerprints:
    """Return the fingerprints of several lists, one after the other."""
    return Fingerprints(
        *(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True))
    )


def _paths(images: LabeledImages) -> list[str]:
    return list(images.paths)


def _shapes(images: LabeledImages, frame: NetworkView) -> BoxShapes | None:
    sides = box_sides(images, frame.size, frame.placed)
    return shapes_of_boxes(sides, images.ground_truth.boxes) if len(sides) else None


def _problems(checked: dict[str, CheckedSet], names: Sequence[str], frame: NetworkView) -> list[Problem]:
    """Return the problems of all lists, as the pre-flight check of a training finds them."""
    view = (frame.size, frame.placed) if frame.cfg else None
    return problems_of_lists(names, checked.get(TRAIN), checked.get(VALID), view)


def _first_problem(checked: dict[str, CheckedSet]) -> str:
    return next((each.message for found in checked.values() for each in found.problems), "none")


def _in_lists(
    images: Sequence[LabeledImages], find: Callable[[LabeledImages], list[OddLabel]]
) -> tuple[tuple[int, OddLabel], ...]:
    found = [(number, each) for number, part in enumerate(images) for each in find(part)]
    return tuple(sorted(found, key=lambda pair: -pair[1].strength))


def _anchors(
    images: Sequence[LabeledImages], names: Sequence[str], frame: NetworkView, seed: int
) -> AnchorStudy | None:
    """Study the boxes of the first list, which is train if it exists."""
    boxes = network_boxes(images[0], frame.size, frame.placed)
    kept = (boxes[:, 2:] > 0).all(axis=1)
    if not frame.heads or not kept.any():
        return None
    ground_truth = images[0].ground_truth
    return study_anchors(
        frame.heads, frame.size, boxes[kept], ground_truth.image_index()[kept], ground_truth.labels[kept], names,
        frame.iou_thresh, frame.in_cells, seed,
    )  # fmt: skip
