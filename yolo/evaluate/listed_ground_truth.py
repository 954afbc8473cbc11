"""Darknet's list of images and their label files as the ground truth of any detections."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolo.data.check import check_list, stopping
from yolo.errors import DatasetError
from yolo.evaluate.evaluator import ground_truth_of_images
from yolo.formats.ground_truth_set import GroundTruthSet, stem
from yolo.formats.image_lists import read_entries

log = logging.getLogger(__name__)

CHANNELS = 3  # images are decoded to see that they are whole, and for their sizes


def listed_ground_truth(
    path: str | Path, names: Sequence[str], difficult: str | Path | None, origin: float
) -> GroundTruthSet:
    """The ground truth of a list of images with label files; difficult: the list of those with the difficult boxes.

    What would not stop a training, such as an image without a label file, is logged.

    Raises:
        DatasetError: what would stop a training (`yolo.data.check`), or a name that two images share.
    """
    lines: dict[str, tuple[int, Path]] = {}
    for number, image in read_entries(path):
        first = lines.setdefault(stem(str(image)), (number, image))
        if first[0] != number:
            expected = f"another name than {first[1]} in line {first[0]}"
            raise DatasetError(f"{path}:{number}: found {image}, expected {expected}")
    checked = check_list(path, len(names), CHANNELS, difficult)
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
