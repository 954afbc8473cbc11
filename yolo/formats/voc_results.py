"""VOC's files: annotations into ground truth, `comp4_det_test_<class>.txt` in and out.

Boxes here are VOC's: xmin, ymin, xmax, ymax of 1-based pixels, the last one inside the box, so that
scoring takes `VOC_PIXEL_EXTENT`. A line of a results file is `id score xmin ymin xmax ymax`, one
file a class.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolo.errors import DatasetError
from yolo.files import write_text
from yolo.formats.ground_truth_set import GroundTruthSet, positions
from yolo.formats.voc_xml import LARGEST, UNKNOWN_SIZE, VOC_ORIGIN, VocGroundTruth, lines
from yolo.records import Evaluation, ScoredBoxes

RESULTS_PREFIX = (
    "comp4_det_test_"  # Darknet's `detector valid` (examples/detector.c) and VOC's devkit
)

RESULTS_COLUMNS = ("id", "score", "xmin", "ymin", "xmax", "ymax")


def evaluation_of_files(found: VocGroundTruth, detections: ScoredBoxes) -> Evaluation:
    """Ground truth and results files, both in VOC's pixels, as an Evaluation; its sizes are UNKNOWN_SIZE."""
    return Evaluation(
        names=found.names,
        image_ids=found.image_ids,
        sizes=np.full((len(found.image_ids), 2), UNKNOWN_SIZE, dtype=np.int64),
        ground_truth=replace(found.ground_truth, boxes=found.ground_truth.boxes - VOC_ORIGIN),
        detections=replace(detections, boxes=detections.boxes - VOC_ORIGIN),
    )


def write_results(
    folder: str | Path, names: Sequence[str], image_ids: Sequence[str], detections: ScoredBoxes
) -> list[Path]:
    """Write one results file a class, also for classes without detections; boxes are VOC's pixels.

    Numbers have as many digits as it takes to read the same float64 again, so that the files score
    exactly as `detections` do (Darknet's six decimals turn close scores into equal ones).
    """
    written = []
    for label, name in enumerate(names):
        ours = np.flatnonzero(detections.labels == label)
        ids = [image_ids[index] for index in detections.image_index[ours].tolist()]
        numbers = np.column_stack((detections.scores[ours], detections.boxes[ours])).tolist()
        lines = [
            f"{image_id} {score!r} {xmin!r} {ymin!r} {xmax!r} {ymax!r}\n"
            for image_id, (score, xmin, ymin, xmax, ymax) in zip(ids, numbers, strict=True)
        ]
        written.append(_results_path(folder, name))
        write_text(written[-1], "".join(lines))
    return written


def results_names(folder: str | Path) -> tuple[str, ...]:
    """The classes that have a results file in `folder`, sorted.

    Raises:
        DatasetError: there is none.
    """
    files = [*Path(folder).glob(f"{RESULTS_PREFIX}*.txt")]
    if not files:
        raise DatasetError(f"{folder}: no {RESULTS_PREFIX}<class>.txt found, expected one a class")
    return tuple(sorted(file.name[len(RESULTS_PREFIX) : -len(".txt")] for file in files))


def read_results(
    folder: str | Path,
    names: Sequence[str],
    image_ids: Sequence[str],
    optional: Collection[str] = (),
) -> ScoredBoxes:
    """Read the results file of each class; the order within a file stays.

    Raises:
        DatasetError: a class without a file, unless it is named in `optional`; a line that is not
            `id score xmin ymin xmax ymax` with an id of `image_ids`, finite numbers and a box not
            inverted.
    """
    paths = [_results_path(folder, name) for name in names]
    missing = [
        name
        for name, path in zip(names, paths, strict=True)
        if name not in optional and not path.exists()
    ]
    if missing:
        raise DatasetError(
            f"{folder}: no {RESULTS_PREFIX}<class>.txt found for {', '.join(missing)}, "
            "expected one for each class of the annotations, empty where nothing was detected"
        )
    position = {image_id: index for index, image_id in enumerate(image_ids)}
    parts = [
        (label, *_read_results_file(path, position))
        for label, path in enumerate(paths)
        if path.exists()
    ]
    labels = [np.full(len(index), label, dtype=np.int64) for label, index, _ in parts]
    numbers = np.concatenate([np.zeros((0, 5)), *(part[2] for part in parts)])
    return ScoredBoxes(
        image_index=np.concatenate([np.zeros(0, dtype=np.int64), *(part[1] for part in parts)]),
        labels=np.concatenate([np.zeros(0, dtype=np.int64), *labels]),
        scores=numbers[:, 0],
        boxes=numbers[:, 1:],
    )


def _results_path(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{RESULTS_PREFIX}{name}.txt"


def _read_results_file(path: Path, position: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(image_index int64 [N], score and box float64 [N, 5]), by columns; by lines only to blame."""
    found = lines(path)
    rows = [line.split() for line in found]
    filled = [row for row in rows if row]
    try:
        image_index = np.array([position[row[0]] for row in filled], dtype=np.int64)
        values = [float(word) for row in filled for word in row[1:]]
    except (KeyError, ValueError):
        raise _first_problem(path, rows, position) from None
    if any(len(row) != len(RESULTS_COLUMNS) for row in filled):
        raise _first_problem(path, rows, position)
    strange = [row for line, row in zip(found, rows, strict=True) if not _is_plain(line)]
    if not all(_is_plain(word) for row in strange for word in row[1:]):
        raise _first_problem(path, rows, position)
    numbers = np.array(values, dtype=np.float64).reshape(-1, len(RESULTS_COLUMNS) - 1)
    if not (np.abs(numbers) <= LARGEST).all() or (numbers[:, 3:] < numbers[:, 1:3]).any():
        raise _first_problem(path, rows, position)
    return image_index, numbers


def _first_problem(path: Path, rows: list[list[str]], position: dict[str, int]) -> DatasetError:
    """The error that names the first bad line of a file known to have one."""
    for number, row in enumerate(rows, start=1):
        problem = _problem(row, position) if row else None
        if problem:
            return DatasetError(f"{path}:{number}: {problem}")
    raise AssertionError(f"{path} has no bad line")


def _problem(row: list[str], position: dict[str, int]) -> str | None:
    if len(row) != len(RESULTS_COLUMNS):
        columns = " ".join(RESULTS_COLUMNS)
        return f"found {len(row)} columns, expected {len(RESULTS_COLUMNS)}: {columns}"
    for column, word in zip(RESULTS_COLUMNS[1:], row[1:], strict=True):
        if not _is_finite(word):
            return f"found {column} {word!r}, expected a finite number"
    xmin, ymin, xmax, ymax = (float(word) for word in row[2:])
    if xmax < xmin or ymax < ymin:
        return (
            f"found box {' '.join(row[2:])}, expected xmin not above xmax and ymin not above ymax"
        )
    if row[0] not in position:
        return f"found image {row[0]}, expected one of the {len(position)} of the image set"
    return None


def _is_finite(word: str) -> bool:
    try:
        return abs(float(word)) <= LARGEST and _is_plain(word)
    except ValueError:
        return False


def _is_plain(number: str) -> bool:
    """Whether it is written as elsewhere: Python also takes 1_000 and the digits of other scripts."""
    return number.isascii() and "_" not in number


def read_comp4(folder: str | Path, images: GroundTruthSet) -> ScoredBoxes:
    """Read the results file of each class; one without a ground truth to find needs none.

    Boxes are VOC's pixels, as in the files: for a ground truth of `VOC_ORIGIN`.
    Raises DatasetError for a file of a class that the ground truth does not have, and as `read_results` does.
    """
    _check_origin(images)
    for name in results_names(folder):
        if name not in images.names:
            expected = f"one of the {len(images.names)} of the ground truth"
            raise DatasetError(f"{folder}: found results of class {name!r}, expected {expected}")
    ground_truth = images.ground_truth
    to_find = {
        images.names[label] for label in ground_truth.labels[~ground_truth.difficult].tolist()
    }
    optional = set(images.names) - to_find
    return read_results(folder, images.names, [*positions(images)], optional)


def write_comp4(folder: str | Path, images: GroundTruthSet, detections: ScoredBoxes) -> None:
    """Write a results file a class; boxes stay as they are, from VOC's origin, and are not clamped to the images.

    Raises DatasetError for a class or image whose name such files cannot hold.
    """
    _check_origin(images)
    unfit = [name for name in images.names if not name or "/" in name]
    if unfit:
        found = f"{images.place}found class {unfit[0]!r}"
        raise DatasetError(f"{found}, expected one that can be part of a file's name")
    image_ids = [*positions(images)]
    for image_id in image_ids:
        if len(image_id.split()) != 1:
            found = f"{images.place}found image {image_id!r}"
            raise DatasetError(f"{found}, expected a name without blanks")
    write_results(folder, images.names, image_ids, detections)


def _check_origin(images: GroundTruthSet) -> None:
    if images.origin != VOC_ORIGIN:
        raise ValueError(f"boxes from {images.origin}, expected VOC's pixels from {VOC_ORIGIN}")
