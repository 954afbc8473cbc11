"""Compare two reports of the same images: which numbers became better or worse, and which images changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from terminaltables import AsciiTable

from yolo.console.numbers import NOT_AVAILABLE
from yolo.errors import DatasetError, counted
from yolo.evaluate.analysis.json_records import json_name
from yolo.evaluate.analysis.report import DETECTED, DIFFICULT, ImageDetection, ImageReport, Report
from yolo.evaluate.analysis.tide import FALSE_KINDS, FOREGROUND_IOU
from yolo.evaluate.metrics.coco_matching import NONE, match_free, overlapping_pairs, same_class
from yolo.pages.page import number_text
from yolo.records import GroundTruth, ScoredBoxes

BETTER, WORSE, SAME = "better", "worse", "same"
IMAGES_PRINTED = 8
CLASSES_PRINTED = 10
LESS_IS_BETTER = ("miss rate", "FP", "FN", "calibration error")  # ends of the names of such metrics


@dataclass(frozen=True)
class MetricChange:
    """A number of report A and of report B, None where it does not exist."""

    name: str
    a: float | None
    b: float | None
    more_is_better: bool = json_name("more", default=True)

    @property
    def step(self) -> float | None:
        """b - a, None where one of them does not exist."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def trend(self) -> str:
        """BETTER, WORSE, SAME or NOT_AVAILABLE."""
        if self.step is None:
            return SAME if self.a is self.b else NOT_AVAILABLE
        if self.step == 0:
            return SAME
        return BETTER if (self.step > 0) == self.more_is_better else WORSE


@dataclass(frozen=True)
class ImageChange:
    """The changes of one image from A to B, at the score threshold of both reports.

    gained, lost: ground truths that only B, only A detected. fp_gone, fp_new: false positives that only A, only B has.
    """

    index: int
    name: str
    gained: int = json_name("found")
    lost: int
    fp_gone: int = json_name("gone")
    fp_new: int = json_name("new")

    @property
    def total(self) -> int:
        """The number of changes."""
        return self.gained + self.lost + self.fp_gone + self.fp_new


@dataclass(frozen=True)
class Comparison:
    """All changes. images: those that changed, most changes first."""

    metrics: tuple[MetricChange, ...]
    classes: tuple[MetricChange, ...]
    errors: tuple[MetricChange, ...]
    images: tuple[ImageChange, ...] = json_name("pictures")


def compare(a: Report, b: Report) -> Comparison:
    """Return the changes from report `a` to report `b`.

    Raises:
        DatasetError: the reports have other classes, images, ground truths or another score threshold, so their numbers
            cannot be compared.
    """
    _check_comparable(a, b)
    images = [_image_change(index, *pair) for index, pair in enumerate(zip(a.images, b.images, strict=True))]
    changed = [image for image in images if image.total]
    changed.sort(key=lambda image: -image.total)
    return Comparison(
        metrics=(*_headlines(a, b), *_table_rows(a, b)),
        classes=tuple(
            MetricChange(left.name, left.ap50, right.ap50) for left, right in zip(a.classes, b.classes, strict=True)
        ),
        errors=tuple(
            MetricChange(left.kind, left.cost, right.cost, more_is_better=False)
            for left, right in zip(a.errors, b.errors, strict=True)
        ),
        images=tuple(changed),
    )


def comparison_text(comparison: Comparison, images: int) -> str:
    """Format what the command prints; `images` is their number in a report."""
    by_size = sorted(
        (change for change in comparison.classes if change.trend != SAME),
        key=lambda change: -abs(change.step or 0),
    )
    lines = [
        _changed_table("score", comparison.metrics),
        _changed_table("AP50 lost to", comparison.errors),
        _table("AP50 of class", by_size[:CLASSES_PRINTED]) if by_size else "no class changed",
    ]
    if len(by_size) > CLASSES_PRINTED:
        lines.append(f"and {len(by_size) - CLASSES_PRINTED} more, which changed less")
    lines.append(image_line(comparison.images, images))
    shown = comparison.images[:IMAGES_PRINTED]
    lines += [f"  {image.name}: {image_words(image)}" for image in shown]
    if len(comparison.images) > IMAGES_PRINTED:
        lines.append(f"  and {len(comparison.images) - IMAGES_PRINTED} more")
    return "\n".join(lines)


def image_line(changed: Sequence[ImageChange], images: int) -> str:
    """Format the changes of all images in one line."""
    gained, lost, fp_gone, fp_new = (
        sum(getattr(image, key) for image in changed) for key in ("gained", "lost", "fp_gone", "fp_new")
    )
    detected = counted(gained, "more object")
    return (
        f"{len(changed)} of {counted(images, 'image')} changed: {detected} detected, {lost} lost; "
        f"{counted(fp_gone, 'false positive')} gone, {fp_new} new"
    )


def image_words(image: ImageChange) -> str:
    """Format the changes of one image: `2 more detected, 1 new false positive`."""
    counts = (
        (image.gained, "more detected"),
        (image.lost, "lost"),
        (image.fp_gone, f"false positive{'s' * (image.fp_gone > 1)} gone"),
        (image.fp_new, f"new false positive{'s' * (image.fp_new > 1)}"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def step_text(change: MetricChange) -> str:
    """Format the step with its sign; empty where nothing changed."""
    if not change.step:
        return ""
    return f"{change.step:+,}" if isinstance(change.step, int) else f"{change.step:+.4f}"


def _changed_table(title: str, changes: Sequence[MetricChange]) -> str:
    """Format the rows that changed, and how many did not."""
    changed = [change for change in changes if change.trend != SAME]
    rest = f"{len(changes) - len(changed)} of {len(changes)} unchanged"
    if not changed:
        return f"{title}: {rest}"
    return _table(title, changed) + (f"\n{rest}" if len(changed) < len(changes) else "")


def _table(title: str, changes: Iterable[MetricChange]) -> str:
    rows = [
        [change.name, number_text(change.a), number_text(change.b), step_text(change), change.trend]
        for change in changes
    ]
    table = AsciiTable([[title, "A", "B", "change", ""], *rows])
    table.justify_columns = {column: "right" for column in (1, 2, 3)}
    return table.table


def _check_comparable(a: Report, b: Report) -> None:
    """Raise DatasetError unless both reports have the same ground truth, class names and score threshold."""
    if a.names != b.names:
        raise DatasetError(f"classes: found {_short(b.names)} in B, expected {_short(a.names)} as in A")
    if a.score_thresh != b.score_thresh:
        raise DatasetError(f"score threshold: found {b.score_thresh} in B, expected {a.score_thresh} as in A")
    ids = [[image.id for image in run.images] for run in (a, b)]
    if ids[0] != ids[1]:
        only = [_short(sorted(set(ids[i]) - set(ids[1 - i]))) for i in (0, 1)]
        raise DatasetError(
            f"images: found {len(ids[1])} in B, expected the {len(ids[0])} of A in the same order; "
            f"only in A: {only[0]}; only in B: {only[1]}"
        )
    for left, right in zip(a.images, b.images, strict=True):
        if _labeled_boxes(left) != _labeled_boxes(right):
            raise DatasetError(f"image {left.id}: found other labels in B, expected those of A")


def _labeled_boxes(image: ImageReport) -> list[tuple]:
    return [(each.label, each.box, each.outcome == DIFFICULT) for each in image.ground_truths]


def _short(names: Sequence[str]) -> str:
    text = ", ".join(names) or "none"
    return text if len(text) <= 60 else text[:57] + "..."


def _headlines(a: Report, b: Report) -> list[MetricChange]:
    least = f"{a.score_thresh:g}"
    rows = (
        ("AP50", "ap.ap50"),
        ("AP", "ap.ap"),
        ("AP75", "ap.ap75"),
        (f"precision at {least}", "totals.precision"),
        (f"recall at {least}", "totals.recall"),
        ("calibration error", "scores.calibration.error"),
    )
    return [MetricChange(name, *map(attrgetter(key), (a, b)), not name.endswith(LESS_IS_BETTER)) for name, key in rows]


def _table_rows(a: Report, b: Report) -> list[MetricChange]:
    """Return the table of metrics by name; a row of only one report has None for the other."""
    values = [{row.metric: row.value for row in run.metrics} for run in (a, b)]
    names = dict.fromkeys((*values[0], *values[1]))
    return [
        MetricChange(name, values[0].get(name), values[1].get(name), not name.endswith(LESS_IS_BETTER))
        for name in names
    ]


def _image_change(index: int, a: ImageReport, b: ImageReport) -> ImageChange:
    detected = [[each.outcome == DETECTED for each in run.ground_truths] for run in (a, b)]
    both = list(zip(*detected, strict=True))
    before, after = ([each for each in run.detections if each.kind in FALSE_KINDS] for run in (a, b))
    same = _same_boxes(before, after)
    return ImageChange(
        index=index,
        name=a.id,
        gained=sum(in_b and not in_a for in_a, in_b in both),
        lost=sum(in_a and not in_b for in_a, in_b in both),
        fp_gone=len(before) - same,
        fp_new=len(after) - same,
    )


def _same_boxes(before: Sequence[ImageDetection], after: Sequence[ImageDetection]) -> int:
    """Count the false positives that are in both: of one class and with an IoU of at least .5, one for one."""
    if not before or not after:
        return 0
    old, new = (
        ScoredBoxes(
            np.zeros(len(boxes), np.int64),
            np.array([each.label for each in boxes]),
            np.array([each.score for each in boxes]),
            np.array([each.box for each in boxes]),
        )
        for boxes in (before, after)
    )
    old = GroundTruth(old.image_index, old.labels, old.boxes, np.zeros(len(before), bool))
    pairs = same_class(old, new, overlapping_pairs(old, new, FOREGROUND_IOU))
    match = match_free(old, new, pairs, FOREGROUND_IOU, old.difficult)
    return int(np.count_nonzero(match != NONE))
