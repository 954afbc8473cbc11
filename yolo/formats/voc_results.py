"""Read and write VOC's results files: one `comp4_det_test_<class>.txt` a class; lines `id score xmin ymin xmax ymax`.

Boxes are VOC's pixels, counted from 1, the last one inside the box, so they are scored with `VOC_PIXEL_EXTENT`.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError, counted
from yolo.files.writing import write_text
from yolo.formats.ground_truth_set import (
    OTHER_NAMES,
    GroundTruthSet,
    ImageNames,
    image_names,
    labels_by_name,
    scored_boxes,
)
from yolo.formats.plain_text import LARGEST_NUMBER, parse_number, read_lines
from yolo.formats.recognition import RESULTS_PREFIX
from yolo.records import ScoredBoxes

MOST_NAME_BYTES = 255  # NAME_MAX of Linux, macOS and Windows file systems
TEMPORARY_EXTRA = 10  # bytes by which a temporary name of `replacing` is longer: two dots, eight letters
RESULTS_COLUMNS = ("id", "score", "xmin", "ymin", "xmax", "ymax")


def results_names(folder: str | Path) -> tuple[str, ...]:
    """Return the classes that have a results file in `folder`, sorted.

    Raises:
        DatasetError: there is none.
    """
    files = [*Path(folder).glob(f"{RESULTS_PREFIX}*.txt")]
    if not files:
        raise DatasetError(f"{folder}: no {RESULTS_PREFIX}<class>.txt found, expected one a class")
    return tuple(sorted(file.name[len(RESULTS_PREFIX) : -len(".txt")] for file in files))


def read_results(folder: str | Path, ground_truth_set: GroundTruthSet) -> ScoredBoxes:
    """Read the results file of each class, in the order of the classes and lines.

    A class whose ground truth has no box, or only difficult ones, needs no file. Boxes stay VOC's pixels, so the
    ground truth's origin is VOC_ORIGIN. An id may have a folder and a suffix. Inverted boxes, which Darknet writes for
    boxes outside the image (examples/detector.c print_detector_detections), are read as they are.

    Raises:
        DatasetError: a file of a class that the ground truth does not have, or two files of one; a class without its
            file; a line that is not `id score xmin ymin xmax ymax` with an image of the ground truth and finite
            numbers.
    """
    names, ground_truth = ground_truth_set.names, ground_truth_set.ground_truth
    label_of = labels_by_name(names)
    file_of: dict[int, Path] = {}
    for name in results_names(folder):
        if name not in label_of:
            expected = f"one of the {len(names)} of the ground truth"
            raise DatasetError(f"{folder}: found results of class {name!r}, expected {expected}")
        if file_of.setdefault(label_of[name], _results_path(folder, name)) != _results_path(folder, name):
            found = f"found results of {name!r} and of {OTHER_NAMES[name]!r}"
            raise DatasetError(f"{folder}: {found}, which are the same class, expected one of them")
    needed = {*ground_truth.labels[~ground_truth.difficult].tolist()}
    missing = [names[label] for label in sorted(needed) if label not in file_of]
    if missing:
        raise DatasetError(
            f"{folder}: no {RESULTS_PREFIX}<class>.txt found for {', '.join(missing)}, "
            "expected one for each class of the annotations, empty where nothing was detected"
        )
    images = image_names(ground_truth_set.files)
    found = {label: _read_results_file(file_of[label], images) for label in sorted(file_of)}
    numbers = np.concatenate([np.zeros((0, 5)), *(numbers for _, numbers in found.values())])
    return scored_boxes(
        image_index=np.concatenate([np.zeros(0), *(index for index, _ in found.values())]),
        labels=np.repeat([*found], [len(index) for index, _ in found.values()]),
        scores=numbers[:, 0],
        boxes=numbers[:, 1:],
    )


def write_results(
    folder: str | Path,
    names: Sequence[str],
    image_ids: Sequence[str],
    detections: ScoredBoxes,
    message_prefix: str = "",
) -> list[Path]:
    """Write one results file a class, also for classes without detections, and return their paths.

    Numbers have as many digits as it takes to read the same float64 again, so that the files score exactly as
    `detections` do (Darknet's six decimals turn close scores into equal ones).

    Args:
        folder: where the files go.
        names: the class names.
        image_ids: the images' names without folder and suffix.
        detections: boxes in VOC's pixels, from VOC_ORIGIN; they are not clamped to the images.
        message_prefix: the beginning of an error's message, such as "instances.json: ".

    Raises:
        DatasetError: a class or image whose name such files cannot hold.
    """
    for name in names:
        if not fits_file_name(name):
            expected = "one that can be part of a file's name"
            raise DatasetError(f"{message_prefix}found class {name!r}, expected {expected}")
    for image_id in image_ids:
        if len(image_id.split()) != 1:
            expected = "a name without blanks"
            raise DatasetError(f"{message_prefix}found image {image_id!r}, expected {expected}")
    paths = [_results_path(folder, name) for name in names]
    for label, path in enumerate(paths):
        rows = np.flatnonzero(detections.labels == label)
        ids = [image_ids[index] for index in detections.image_index[rows].tolist()]
        numbers = np.column_stack((detections.scores[rows], detections.boxes[rows])).tolist()
        lines = [f"{image_id} {' '.join(map(repr, row))}\n" for image_id, row in zip(ids, numbers, strict=True)]
        write_text(path, "".join(lines))
    return paths


def fits_file_name(name: str) -> bool:
    """Return whether a class name can be part of the name of a results file, which is first written to another."""
    length = len(os.fsencode(_results_path("", name).name)) + TEMPORARY_EXTRA
    return bool(name) and "/" not in name and length <= MOST_NAME_BYTES


def _results_path(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{RESULTS_PREFIX}{name}.txt"


def _read_results_file(path: Path, images: ImageNames) -> tuple[np.ndarray, np.ndarray]:
    """Return image_index int64 `[N]`, and score and box float64 `[N, 5]`.

    The file is checked as whole columns, which is several times as fast; line by line only to name a bad line.
    """
    lines = read_lines(path)
    rows = [words for words in map(str.split, lines) if words]
    positions = {image_id: images.find(image_id) for image_id in {words[0] for words in rows}}
    try:
        values = [[float(word) for word in words[1:]] for words in rows]
    except ValueError:
        raise _first_problem(path, lines, images) from None
    if any(len(words) != len(RESULTS_COLUMNS) for words in rows):
        raise _first_problem(path, lines, images)
    numbers = np.array(values, np.float64).reshape(-1, len(RESULTS_COLUMNS) - 1)
    # float takes digits of other scripts and 1_000; an image's id may hold such characters
    unusual = [line.split()[1:] for line in lines if not line.isascii() or "_" in line]
    if (
        any(len(found) != 1 for found in positions.values())
        or not (np.abs(numbers) <= LARGEST_NUMBER).all()
        or any(not word.isascii() or "_" in word for words in unusual for word in words)
    ):
        raise _first_problem(path, lines, images)
    return np.array([positions[words[0]][0] for words in rows], np.int64), numbers


def _first_problem(path: Path, lines: list[str], images: ImageNames) -> DatasetError:
    """Return the error that names the first bad line of a file that has one."""
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                _check_line(line.split(), images, f"{path}:{number}")
        except DatasetError as error:
            return error
    raise AssertionError(f"{path} has no bad line")


def _check_line(words: list[str], images: ImageNames, place: str) -> None:
    if len(words) != len(RESULTS_COLUMNS):
        expected = f"{len(RESULTS_COLUMNS)}: {' '.join(RESULTS_COLUMNS)}"
        raise DatasetError(f"{place}: found {counted(len(words), 'column')}, expected {expected}")
    for column, word in zip(RESULTS_COLUMNS[1:], words[1:], strict=True):
        if math.isnan(parse_number(word)):
            raise DatasetError(f"{place}: found {column} {word!r}, expected a finite number")
    images.position(words[0], f"{place}: found image {words[0]}", f"one of the {len(images.files)} of the image set")
