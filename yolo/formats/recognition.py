"""Which format a file or folder has, where that is beyond doubt; else an error that asks."""

from enum import Enum
from pathlib import Path

from yolo.errors import DatasetError

# of the files of Darknet's `detector valid` (examples/detector.c) and VOC's devkit
RESULTS_PREFIX = "comp4_det_test_"

BLANKS = b" \t\r\n"  # json's (RFC 8259, section 2)

HEAD_BYTES = 4096  # of a json file: its first entry


class GroundTruthFormat(Enum):
    """What the ground truth is read from."""

    VOC = "voc"
    LABELS = "labels"
    COCO = "coco"


class DetectionFormat(Enum):
    """What detections are read from and written to."""

    COMP4 = "comp4"
    COCO = "coco"
    DARKNET = "darknet"
    LABELS_SCORE_FIRST = "labels-score-first"
    LABELS_SCORE_LAST = "labels-score-last"


LABEL_FORMATS = (DetectionFormat.LABELS_SCORE_FIRST, DetectionFormat.LABELS_SCORE_LAST)

FRACTION_FORMATS = (DetectionFormat.DARKNET, *LABEL_FORMATS)  # boxes in 0..1 of the image


def ground_truth_format(path: Path) -> GroundTruthFormat:
    """A folder of XML, a .data or a list, a json. Raises DatasetError for anything else, OSError if not there."""
    path.stat()
    if path.is_dir():
        if any(path.glob("*.xml")):
            return GroundTruthFormat.VOC
        raise DatasetError(f"{path}: found a folder without XML, expected --truth-format")
    by_ending = {
        ".data": GroundTruthFormat.LABELS,
        ".txt": GroundTruthFormat.LABELS,
        ".json": GroundTruthFormat.COCO,
    }
    if path.suffix.lower() not in by_ending:
        raise DatasetError(f"{path}: found the ending {path.suffix!r}, expected --truth-format")
    return by_ending[path.suffix.lower()]


def detection_format(path: Path) -> DetectionFormat:
    """A folder of comp4 files, or a json by the keys of its first entry. Raises as `ground truth_format` does."""
    path.stat()
    if path.is_dir():
        if any(path.glob(f"{RESULTS_PREFIX}*.txt")):
            return DetectionFormat.COMP4
        orders = " or ".join(each.value for each in LABEL_FORMATS)
        raise DatasetError(f"{path}: found no comp4 file, expected --format {orders}")
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    keys = {b'"image_id"': DetectionFormat.COCO, b'"filename"': DetectionFormat.DARKNET}
    found = {each for key, each in keys.items() if key in head}
    if head.translate(None, BLANKS) == b"[]":
        expected = "--format, which alone decides what it is"
        raise DatasetError(f"{path}: found an empty list, expected {expected}")
    if len(found) != 1:
        raise DatasetError(f"{path}: found no certain sign of a format, expected --format")
    return found.pop()
