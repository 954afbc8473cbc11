"""Recognize the format of a file or folder; if it is uncertain, raise an error that names the option for it."""

from enum import Enum
from pathlib import Path

from yolo.errors import DatasetError
from yolo.files.contents import open_input
from yolo.files.folders import visible

# of the files of Darknet's `detector valid` (examples/detector.c) and VOC's devkit
RESULTS_PREFIX = "comp4_det_test_"
BLANKS = b" \t\r\n"  # json's (RFC 8259, section 2)
HEAD_BYTES = 4096  # of a json file: its first entry


class GroundTruthFormat(Enum):
    """Formats from which ground truth is read."""

    VOC = "voc"
    LABELS = "labels"
    COCO = "coco"


class DetectionFormat(Enum):
    """Formats in which detections are read and written."""

    COMP4 = "comp4"
    COCO = "coco"
    DARKNET = "darknet"
    LABELS_SCORE_FIRST = "labels-score-first"
    LABELS_SCORE_LAST = "labels-score-last"


LABEL_FORMATS = (DetectionFormat.LABELS_SCORE_FIRST, DetectionFormat.LABELS_SCORE_LAST)
FRACTION_FORMATS = (DetectionFormat.DARKNET, *LABEL_FORMATS)  # boxes are fractions of the image


def ground_truth_format(path: Path) -> GroundTruthFormat:
    """Return the format of a ground truth: a folder of XML, a .data file, a list or a JSON file.

    Raises:
        DatasetError: anything else.
        OSError: the path does not exist.
    """
    path.stat()
    if path.is_dir():
        if visible(path, "*.xml"):
            return GroundTruthFormat.VOC
        if not any(path.iterdir()):
            raise DatasetError(f"{path}: found an empty folder, expected the annotations IMAGE.xml")
        raise DatasetError(f"{path}: found a folder without XML, expected --truth-format")
    labels, coco = GroundTruthFormat.LABELS, GroundTruthFormat.COCO
    by_ending = {".data": labels, ".txt": labels, ".json": coco}
    if path.suffix.lower() not in by_ending:
        raise DatasetError(f"{path}: found the ending {path.suffix!r}, expected --truth-format")
    return by_ending[path.suffix.lower()]


def detection_format(path: Path) -> DetectionFormat:
    """Return the format of detections: of a folder of comp4 files, or of a JSON file by the keys of its first entry.

    Raises as `ground_truth_format` does.
    """
    path.stat()
    if path.is_dir():
        if any(path.glob(f"{RESULTS_PREFIX}*.txt")):
            return DetectionFormat.COMP4
        if not any(path.iterdir()):
            expected = f"{RESULTS_PREFIX}CLASS.txt for each class or IMAGE.txt for each image"
            raise DatasetError(f"{path}: found an empty folder, expected {expected}")
        orders = " or ".join(each.value for each in LABEL_FORMATS)
        raise DatasetError(f"{path}: found no comp4 file, expected --format {orders}")
    with open_input(path) as file:
        head = file.read(HEAD_BYTES)
    keys = {b'"image_id"': DetectionFormat.COCO, b'"filename"': DetectionFormat.DARKNET}
    found = {each for key, each in keys.items() if key in head}
    if head.translate(None, BLANKS) == b"[]":
        expected = "--format, because nothing in the file shows it"
        raise DatasetError(f"{path}: found an empty list, expected {expected}")
    if len(found) != 1:
        raise DatasetError(f"{path}: found no known format, expected --format")
    return found.pop()
