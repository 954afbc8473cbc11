"""VOC's files: annotations into ground truth, `comp4_det_test_<class>.txt` in and out.

Boxes here are VOC's: xmin, ymin, xmax, ymax of 1-based pixels, the last one inside the box, so that
scoring takes `VOC_PIXEL_EXTENT`. A line of a results file is `id score xmin ymin xmax ymax`, one
file a class.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolo.data.voc import LARGEST, AnnotatedObject, read_annotation
from yolo.errors import DatasetError
from yolo.evaluate.average_precision import GroundTruth, ScoredBoxes
from yolo.evaluate.evaluation import Evaluation
from yolo.files import write_text

RESULTS_PREFIX = (
    "comp4_det_test_"  # Darknet's `detector valid` (examples/detector.c) and VOC's devkit
)
RESULTS_COLUMNS = ("id", "score", "xmin", "ymin", "xmax", "ymax")
VOC_ORIGIN = 1.0  # VOC counts pixels from 1
UNKNOWN_SIZE = 0  # of a picture: VOC's results files do not say, and some annotations do not


@dataclass(frozen=True)
class VocTruth:
    """The ground truth of an image set: image_index points into image_ids, labels into names."""

    image_ids: tuple[str, ...]
    names: tuple[str, ...]
    truth: GroundTruth


def read_image_set(path: str | Path) -> tuple[str, ...]:
    """The picture names of an `ImageSets/Main/*.txt`, one a line.

    Raises:
        DatasetError: no name at all, a line that is not one name, or a name given twice.
    """
    first_line: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) > 1 or not words[0].isprintable():
            raise DatasetError(
                f"{path}:{number}: found {line.strip()!r}, expected one picture name"
            )
        if words[0] in first_line:
            raise DatasetError(
                f"{path}:{number}: {words[0]} again, expected each picture once "
                f"(it is on line {first_line[words[0]]})"
            )
        first_line[words[0]] = number
    if not first_line:
        raise DatasetError(f"{path}: no picture name found, expected one a line")
    return tuple(first_line)


def read_ground_truth(
    annotations: str | Path, image_ids: Iterable[str], more_names: Iterable[str] = ()
) -> VocTruth:
    """Read `annotations`/<id>.xml of each picture, in order.

    The class names are those found and `more_names` (classes that may have no object here), sorted.
    Picture sizes are not needed and not looked at.

    Raises:
        DatasetError: an annotation that is missing, cannot be read, or holds an inverted box.
    """
    image_ids, image_index, objects = [*image_ids], [], []
    for index, image_id in enumerate(image_ids):
        found = _objects(os.path.join(annotations, f"{image_id}.xml"))
        objects.extend(found)
        image_index.extend([index] * len(found))
    names = tuple(sorted({*more_names, *(each.name for each in objects)}))
    label = {name: number for number, name in enumerate(names)}
    boxes = [(each.xmin, each.ymin, each.xmax, each.ymax) for each in objects]
    truth = GroundTruth(
        image_index=np.array(image_index, dtype=np.int64),
        labels=np.array([label[each.name] for each in objects], dtype=np.int64),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        difficult=np.array([each.difficult for each in objects], dtype=bool),
    )
    return VocTruth(tuple(image_ids), names, truth)


def voc_pixels(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Continuous xyxy picture pixels from 0 [N, 4] → VOC's pixels [N, 4], as Darknet writes them.

    `sizes` [N, 2] are the (height, width) of each box's picture. All four numbers move by 1 and are
    clamped to the picture (examples/detector.c, print_detector_detections). A box wholly outside,
    which Darknet writes inverted, becomes a box of one pixel on the border. Where a size is
    UNKNOWN_SIZE, the numbers only move.
    """
    width_height = np.asarray(sizes, dtype=np.float64)[:, ::-1]
    known = width_height != UNKNOWN_SIZE
    low = np.where(known, VOC_ORIGIN, -np.inf)
    high = np.where(known, width_height, np.inf)
    moved = np.asarray(boxes, dtype=np.float64) + VOC_ORIGIN
    return np.clip(moved, np.tile(low, 2), np.tile(high, 2))


def evaluation_of_files(found: VocTruth, detections: ScoredBoxes) -> Evaluation:
    """Truth and results files, both in VOC's pixels, as an Evaluation; its sizes are UNKNOWN_SIZE."""
    return Evaluation(
        names=found.names,
        image_ids=found.image_ids,
        sizes=np.full((len(found.image_ids), 2), UNKNOWN_SIZE, dtype=np.int64),
        truth=replace(found.truth, boxes=found.truth.boxes - VOC_ORIGIN),
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


def _objects(path: str) -> tuple[AnnotatedObject, ...]:
    try:
        objects = read_annotation(path).objects
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: not found, expected the annotation of a picture of the image set"
        ) from None
    for number, each in enumerate(objects, start=1):
        if each.xmax < each.xmin or each.ymax < each.ymin:
            raise DatasetError(
                f"{path}: object {number}: found box "
                f"{each.xmin} {each.ymin} {each.xmax} {each.ymax}, "
                "expected xmin not above xmax and ymin not above ymax"
            )
    return objects


def _results_path(folder: str | Path, name: str) -> Path:
    return Path(folder) / f"{RESULTS_PREFIX}{name}.txt"


def _read_results_file(path: Path, position: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(image_index int64 [N], score and box float64 [N, 5]), by columns; by lines only to blame."""
    lines = _lines(path)
    rows = [line.split() for line in lines]
    filled = [row for row in rows if row]
    try:
        image_index = np.array([position[row[0]] for row in filled], dtype=np.int64)
        values = [float(word) for row in filled for word in row[1:]]
    except (KeyError, ValueError):
        raise _first_problem(path, rows, position) from None
    if any(len(row) != len(RESULTS_COLUMNS) for row in filled):
        raise _first_problem(path, rows, position)
    strange = [row for line, row in zip(lines, rows, strict=True) if not _is_plain(line)]
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
        return f"found picture {row[0]}, expected one of the {len(position)} of the image set"
    return None


def _is_finite(word: str) -> bool:
    try:
        return abs(float(word)) <= LARGEST and _is_plain(word)
    except ValueError:
        return False


def _is_plain(number: str) -> bool:
    """Whether it is written as elsewhere: Python also takes 1_000 and the digits of other scripts."""
    return number.isascii() and "_" not in number


def _lines(path: str | Path) -> list[str]:
    """The lines of a text file; bytes that are no UTF-8 stay visible for the line's check."""
    return Path(path).read_text(encoding="utf-8-sig", errors="backslashreplace").split("\n")
