"""VOC's annotations as the truth of any detections, and comp4 files for the truth of any format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolo.data.voc import read_annotation
from yolo.errors import DatasetError
from yolo.evaluate.average_precision import ScoredBoxes
from yolo.evaluate.truth_set import TruthSet, positions
from yolo.evaluate.voc import (
    VOC_ORIGIN,
    read_ground_truth,
    read_results,
    results_names,
    write_results,
)

LARGEST_SIDE = 2**31 - 1  # of a picture, in pixels


def voc_truth(
    annotations: str | Path,
    image_ids: Sequence[str],
    names: Sequence[str] | None = None,
    more_names: Sequence[str] = (),
) -> TruthSet:
    """The truth of the annotations of an image set, from VOC's origin, without the pictures' sizes.

    The classes are `names`, which must have each class of the annotations, or those of the annotations and
    `more_names`, sorted. Raises DatasetError as `read_ground_truth` does, and for a class that is not in `names`.
    """
    for image_id in image_ids:
        if "/" in image_id:
            found = f"found picture {image_id}"
            raise DatasetError(f"{annotations}: {found}, expected a name without folder")
    found = read_ground_truth(annotations, image_ids, more_names if names is None else ())
    truth, names = found.truth, found.names if names is None else tuple(names)
    for label, name in enumerate(found.names):
        if name not in names:
            owner = found.image_ids[truth.image_index[truth.labels == label][0]]
            path = Path(annotations) / f"{owner}.xml"
            raise DatasetError(f"{path}: found class {name!r}, expected one of the names")
    label_of = np.array([names.index(name) for name in found.names], np.int64)
    files = tuple(f"{image_id}.jpg" for image_id in image_ids)
    truth = replace(truth, labels=label_of[truth.labels])
    return TruthSet(names, files, None, truth, VOC_ORIGIN, source=Path(annotations))


def with_sizes(pictures: TruthSet, annotations: str | Path) -> TruthSet:
    """The same with the sizes that the annotations give. Raises DatasetError for one that gives none."""
    sizes = []
    for image_id in pictures.image_ids:
        path = Path(annotations) / f"{image_id}.xml"
        annotation = read_annotation(path)
        if not all(0 < side <= LARGEST_SIDE for side in (annotation.height, annotation.width)):
            found = f"size {annotation.width} x {annotation.height}"
            raise DatasetError(f"{path}: found {found}, expected the picture's pixels")
        sizes.append((annotation.height, annotation.width))
    return replace(pictures, sizes=np.array(sizes, np.int64))


def read_comp4(folder: str | Path, pictures: TruthSet) -> ScoredBoxes:
    """Read the results file of each class; one without a truth to find needs none.

    Boxes are VOC's pixels, as in the files: for a truth of `VOC_ORIGIN`.
    Raises DatasetError for a file of a class that the truth does not have, and as `read_results` does.
    """
    _check_origin(pictures)
    for name in results_names(folder):
        if name not in pictures.names:
            expected = f"one of the {len(pictures.names)} of the truth"
            raise DatasetError(f"{folder}: found results of class {name!r}, expected {expected}")
    truth = pictures.truth
    to_find = {pictures.names[label] for label in truth.labels[~truth.difficult].tolist()}
    optional = set(pictures.names) - to_find
    return read_results(folder, pictures.names, [*positions(pictures)], optional)


def write_comp4(folder: str | Path, pictures: TruthSet, detections: ScoredBoxes) -> None:
    """Write a results file a class; boxes stay as they are, from VOC's origin, and are not clamped to the pictures.

    Raises DatasetError for a class or picture whose name such files cannot hold.
    """
    _check_origin(pictures)
    unfit = [name for name in pictures.names if not name or "/" in name]
    if unfit:
        found = f"{pictures.place}found class {unfit[0]!r}"
        raise DatasetError(f"{found}, expected one that can be part of a file's name")
    image_ids = [*positions(pictures)]
    for image_id in image_ids:
        if len(image_id.split()) != 1:
            found = f"{pictures.place}found picture {image_id!r}"
            raise DatasetError(f"{found}, expected a name without blanks")
    write_results(folder, pictures.names, image_ids, detections)


def _check_origin(pictures: TruthSet) -> None:
    if pictures.origin != VOC_ORIGIN:
        raise ValueError(f"boxes from {pictures.origin}, expected VOC's pixels from {VOC_ORIGIN}")
