"""Read Darknet's list of images and their label files as the ground truth for detections of any format."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolo.data.check import check_list, stopping
from yolo.data_file import check_data_files, check_names, read_data
from yolo.errors import DatasetError
from yolo.evaluate.evaluator import ground_truth_of_images
from yolo.formats.ground_truth_set import GroundTruthSet
from yolo.formats.label_files import read_entries
from yolo.names_file import read_classes

log = logging.getLogger(__name__)
CHANNELS = 3  # images are decoded to check that they are whole, and for their sizes


def read_listed_ground_truth(
    path: str | Path, names: Sequence[str] | None, origin: float, recheck: bool = False
) -> GroundTruthSet:
    """Read the label files of a list of images, or of the valid list of a .data file with its difficult list.

    Problems that would not stop a training, such as an image without a label file, are logged.

    Args:
        path: a list of images, one a line, or a .data file.
        names: the class names, unless the .data file names their file.
        origin: coordinate of the left edge of the first pixel in the boxes that are returned.
        recheck: read files that have not changed since the last check, too.

    Raises:
        DatasetError: names that are missing, given twice or not as many as the .data file's classes; what would stop
            a training (`yolo.data.check`); an image that is listed twice.
    """
    images, difficult = path, None
    if Path(path).suffix.lower() == ".data":
        data = read_data(path)
        images, difficult = data.valid, data.difficult
        check_data_files(data, "names", "labels")
        if data.names is not None and names is not None:
            raise DatasetError(f"{path}: found names in it, expected no --names")
        names = read_classes(data.names) if data.names else names
        if images is None:
            raise DatasetError(f"{path}: expected the key valid")
        check_data_files(data, "valid", "difficult")
        if names is not None:
            check_names(data, names)
    if names is None:
        raise DatasetError(f"{path}: found no class names, expected --names")
    return _read_list(images, names, difficult, origin, recheck)


def _read_list(
    path: str | Path, names: Sequence[str], difficult: str | Path | None, origin: float, recheck: bool
) -> GroundTruthSet:
    _require_different_images(path)
    checked = check_list(path, len(names), CHANNELS, difficult, recheck)
    problems = stopping(checked.problems)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DatasetError(f"{problems[0].kind}: {problems[0].message}{more}")
    for kind, count in Counter(problem.kind for problem in checked.problems).items():
        first = next(each.message for each in checked.problems if each.kind == kind)
        log.warning("%s: %d x %s, such as %s", path, count, kind, first)
    ground_truth = ground_truth_of_images(checked.images)
    return GroundTruthSet(
        names=tuple(names),
        files=tuple(str(image.path) for image in checked.images),
        sizes=np.array([image.size for image in checked.images], np.int64),
        ground_truth=replace(ground_truth, boxes=ground_truth.boxes + origin),
        origin=origin,
        source=Path(path),
    )


def _require_different_images(path: str | Path) -> None:
    """Raise DatasetError if a list names an image twice, so that its detections would belong to two images."""
    first: dict[str, int] = {}
    for number, image in read_entries(path):
        line = first.setdefault(os.path.abspath(image), number)
        if line != number:
            raise DatasetError(f"{path}:{number}: found {image} again, expected it once (it is line {line})")
