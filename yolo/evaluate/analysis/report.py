"""The report of an evaluation as records, and report.json, the file that holds them.

Numbers have all their digits. A number that does not exist, such as the AP of a class without ground truth, is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from yolo.errors import DatasetError, counted
from yolo.evaluate.analysis import tide
from yolo.evaluate.analysis.json_records import Check, fault, is_count, json_name, record_of
from yolo.evaluate.metrics.calibration import Calibration
from yolo.evaluate.metrics.coco_matching import IOU_THRESHOLDS, RECALLS
from yolo.formats.json_file import is_finite_number, read_json, shown

FORMAT = 1  # of report.json; increase it when an older compare command would read the file wrongly
REPORT_FILE = "report.json"
DETECTED, UNDETECTED, WITH_ERROR, DIFFICULT = "found", "missed", "excused", "difficult"
OUTCOMES = (DETECTED, UNDETECTED, WITH_ERROR, DIFFICULT)  # of ground truths
DETECTION_KINDS = (*tide.FALSE_KINDS, tide.TRUE_POSITIVE, tide.IGNORED)
ERROR_KINDS = (*tide.KINDS, tide.FALSE_POSITIVES, tide.FALSE_NEGATIVES)
COCO_SIZES = (("small", 0, 32), ("medium", 32, 96), ("large", 96, None))  # side in pixels
SIDE_STEPS = (0, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, None)  # finer, our choice
SIDES = tuple((str(high or "more"), low, high) for low, high in pairwise(SIDE_STEPS))


def _one_of(values: tuple[str, ...]) -> Check:
    return Check(f"one of {', '.join(values)}", lambda value: value in values)


def _are_numbers(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(is_finite_number, value))


Pixels = Annotated[int, Check("a whole number from 1 on", lambda value: is_count(value) and value)]
Label = Annotated[int, Check("a class number", lambda value: type(value) is int)]
Box = Annotated[tuple[float, ...], Check("four finite numbers", lambda value: _are_numbers(value, 4))]
Curve = Annotated[
    tuple[float, ...],
    Check(f"a list of {len(RECALLS)} numbers", lambda value: _are_numbers(value, len(RECALLS))),
]
NameAndVersion = Annotated[
    tuple[str, str],
    Check(
        "name and version",
        lambda value: isinstance(value, list) and [type(each) for each in value] == [str, str],
    ),
]
ErrorCounts = Annotated[
    Mapping[str, int],
    Check(
        f"a count for each of {', '.join(tide.KINDS)}",
        lambda value: isinstance(value, dict) and all(is_count(value.get(kind)) for kind in tide.KINDS),
    ),
]


@dataclass(frozen=True)
class About:
    """The source of an evaluation.

    data: the .data file or list; data_name: of the data set, "" in older reports; versions: of the programs that
    computed it.
    """

    command: str
    cfg: str
    weights: str
    weights_sha256: str
    data: str
    date: str
    versions: tuple[NameAndVersion, ...]
    data_name: str = ""


@dataclass(frozen=True)
class ReportRow:
    """A row of the table of metrics. value: a measure 0..1, a count, or None; conventions: in words."""

    metric: str
    value: float | None
    conventions: str


@dataclass(frozen=True)
class Totals:
    """Counts of all images, and the detections from `score_thresh` on."""

    images: int = json_name("pictures")
    ground_truths: int = json_name("truths")
    difficult: int
    detections: int
    true_positives: int = json_name("right")
    false_positives: int = json_name("wrong")
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class AveragePrecisions:
    """AP at each IoU threshold. mean: over the classes; classes: of each class; ap: the mean over all thresholds."""

    iou: tuple[float, ...]
    mean: tuple[float | None, ...]
    classes: tuple[tuple[float | None, ...], ...]
    ap: float | None
    ap50: float | None
    ap75: float | None


@dataclass(frozen=True)
class ClassReport:
    """One class. curve: the best precision from each of RECALLS on; errors and ratios: from `score_thresh` on."""

    name: str
    ground_truths: int = json_name("truths")
    detections: int
    ap: float | None
    ap50: float | None
    curve: Curve | None
    errors: ErrorCounts
    true_positives: int = json_name("right")
    false_positives: int = json_name("wrong")
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class SizeReport:
    """COCO's AP of the ground truths whose area is between two squares, with sides in pixels."""

    name: str
    low: int = json_name("from")
    high: int | None = json_name("to")
    ground_truths: int = json_name("truths")
    ap: float | None


@dataclass(frozen=True)
class ScoreReport:
    """Detections over their score: histograms in equal bins, and the calibration."""

    true_positives: tuple[int, ...] = json_name("right")
    false_positives: tuple[int, ...] = json_name("wrong")
    calibration: Calibration


@dataclass(frozen=True)
class ErrorReport:
    """One kind of error. count: of all; shown: from `score_thresh` on; fixed: AP50 without it; cost: the gain."""

    kind: Annotated[str, _one_of(ERROR_KINDS)]
    count: int
    shown: int
    fixed: float | None = json_name("cured")
    cost: float | None


@dataclass(frozen=True)
class ImageGroundTruth:
    """A labeled box xyxy in image pixels and its outcome."""

    label: Label = json_name("class")
    box: Box
    outcome: Annotated[str, _one_of(OUTCOMES)]


@dataclass(frozen=True)
class ImageDetection:
    """A detection. ground_truth: the position of the one that it detects or is an error about; None for background."""

    label: Label = json_name("class")
    box: Box
    score: float
    kind: Annotated[str, _one_of(DETECTION_KINDS)]
    ground_truth: int | None = json_name("truth")


@dataclass(frozen=True)
class ImageReport:
    """One image. errors: how many; cost: the mAP at IoU 0.5 that fixing the errors of this image alone would gain."""

    id: str
    path: str
    height: Pixels
    width: Pixels
    errors: int = json_name("wrong")
    cost: float
    ground_truths: tuple[ImageGroundTruth, ...] = json_name("truths")
    detections: tuple[ImageDetection, ...]


@dataclass(frozen=True)
class ClassLoss:
    """The training loss of the objects of a class. objects: how many; the others are means of one object."""

    name: str
    objects: int
    box: float
    objectness: float
    classification: float

    @property
    def total(self) -> float:
        return self.box + self.objectness + self.classification


@dataclass(frozen=True)
class LossStep:
    """Some steps of the training run: first and last, and the mean loss by part."""

    first: int
    last: int
    box: float
    objectness_object: float
    objectness_background: float
    classification: float


@dataclass(frozen=True)
class LossReport:
    """The parts of the training loss.

    images: how many of the valid list, without augmentation, the means of an image are taken over; background: cells of
    an image that are responsible for no object. classes: those with objects, the one with the largest sum first.
    steps: of the training run, () if its table is not beside the weights.
    """

    images: int
    background: float
    box: float
    objectness_object: float
    objectness_background: float
    classification: float
    classes: tuple[ClassLoss, ...]
    steps: tuple[LossStep, ...]

    @property
    def total(self) -> float:
        return self.box + self.objectness_object + self.objectness_background + self.classification


@dataclass(frozen=True)
class Report:
    """The content of report.json: everything that the page shows and that two reports are compared by.

    Precision, recall, confusion and the images use the detections from `score_thresh` on, the rest every detection.
    loss: None in older reports, and where the network does not learn from labels.
    """

    format: int
    about: About
    names: tuple[str, ...]
    score_thresh: float
    totals: Totals
    metrics: tuple[ReportRow, ...]
    ap: AveragePrecisions
    classes: tuple[ClassReport, ...]
    sizes: tuple[SizeReport, ...]
    sides: tuple[SizeReport, ...]
    scores: ScoreReport
    confusion: tuple[tuple[int, ...], ...]
    errors: tuple[ErrorReport, ...]
    images: tuple[ImageReport, ...] = json_name("pictures")
    loss: LossReport | None = None


def read_report(path: str | Path) -> Report:
    """Read a report from its folder or from the report.json in it.

    Raises:
        DatasetError: there is no report, it has another format, or something in it is missing or wrong. The message
            has the file, the path of keys, what was found and what was expected.
    """
    path = Path(path)
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        content = read_json(file)
    except FileNotFoundError:
        expected = f"the folder that `yolo-darknet evaluate --report FOLDER` wrote, with {REPORT_FILE} in it"
        raise DatasetError(f"{file}: not found, expected {expected}") from None
    except DatasetError as error:
        raise DatasetError(f"{error}; expected a report") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise DatasetError(f"{file}: found format {found!r}, expected a report of format {FORMAT}")
    try:
        return report_of_json(content)
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from None


def report_of_json(content: object) -> Report:
    """Return the report that the content of a report.json describes.

    Raises DatasetError for a missing key, a value of the wrong type, a number that is not finite, a class number
    without a name, or lists whose lengths do not fit each other.
    """
    report = record_of(Report, content)
    _check_lists(report)
    for at, image in enumerate(report.images):
        for key, boxes in (("truths", image.ground_truths), ("detections", image.detections)):
            for place, box in enumerate(boxes):
                if not 0 <= box.label < len(report.names):
                    place = f"pictures[{at}].{key}[{place}].class"
                    raise fault(place, box.label, f"a class number below {len(report.names)}")
    return report


def _check_lists(report: Report) -> None:
    """Raise DatasetError for the first list that does not fit the others."""
    ap, bins = report.ap, report.scores.calibration
    if len(ap.iou) != len(IOU_THRESHOLDS) or sorted({*ap.iou}) != [*ap.iou]:
        raise fault("ap.iou", [*ap.iou], f"{len(IOU_THRESHOLDS)} rising numbers")
    for key, found, expected in (
        ("classes", [each.name for each in report.classes], [*report.names]),
        ("errors", [each.kind for each in report.errors], [*ERROR_KINDS]),
        ("sizes", [each.name for each in report.sizes], [name for name, _, _ in COCO_SIZES]),
        ("sides", [each.name for each in report.sides], [name for name, _, _ in SIDES]),
    ):
        if found != expected:
            raise fault(key, found, shown(expected))
    for key, values, length in (
        ("ap.mean", ap.mean, len(ap.iou)),
        ("scores.calibration.score", bins.score, len(bins.count)),
        ("scores.calibration.precision", bins.precision, len(bins.count)),
    ):
        if len(values) != length:
            raise DatasetError(f"{key}: found {counted(len(values), 'number')}, expected {length}")
    for at, count in enumerate(bins.count):
        for key, values in (("score", bins.score), ("precision", bins.precision)):
            if count and values[at] is None:
                raise fault(f"scores.calibration.{key}[{at}]", None, "a finite number")
