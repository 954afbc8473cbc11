"""Two reports of the same images: what got better, what got worse, and which images changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from terminaltables import AsciiTable

from yolo.errors import DatasetError
from yolo.evaluate.analysis.images import FOUND
from yolo.evaluate.analysis.tide import FALSE_KINDS, FOREGROUND_IOU
from yolo.evaluate.metrics.coco_matching import NONE, match_free, overlapping_pairs
from yolo.records import GroundTruth, ScoredBoxes

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "n/a"

IMAGES_TOLD = 8  # in the terminal

CLASSES_TOLD = 10

LESS_IS_BETTER = ("miss rate", "FP", "FN")  # ends of the names of such metrics


@dataclass(frozen=True)
class Change:
    """A number in run A and in run B, None where it does not exist; more: whether more of it is better."""

    name: str
    a: float | None
    b: float | None
    more: bool = True

    @property
    def step(self) -> float | None:
        """b - a, None where one of them does not exist."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def verdict(self) -> str:
        """BETTER, WORSE, SAME or UNKNOWN."""
        if self.step is None:
            return SAME if self.a is self.b else UNKNOWN
        return SAME if self.step == 0 else BETTER if (self.step > 0) == self.more else WORSE


@dataclass(frozen=True)
class ImageChange:
    """How one image changed from A to B, at the score that both reports show.

    found, lost: ground truths that only B, only A found; gone, new: false alarms that only A, only B has.
    """

    index: int
    name: str
    found: int
    lost: int
    gone: int
    new: int

    @property
    def total(self) -> int:
        """How many things changed."""
        return self.found + self.lost + self.gone + self.new


@dataclass(frozen=True)
class Comparison:
    """All changes. images: those that changed, most changes first."""

    metrics: tuple[Change, ...]
    classes: tuple[Change, ...]
    errors: tuple[Change, ...]
    images: tuple[ImageChange, ...]


def compare(a: dict, b: dict) -> Comparison:
    """The changes from report `a` to report `b`.

    Raises:
        DatasetError: reports of other classes, images, ground truths or of another score shown, whose numbers say nothing
            about each other.
    """
    _check_alike(a, b)
    images = [
        _image_change(index, *pair)
        for index, pair in enumerate(zip(a["pictures"], b["pictures"], strict=True))
    ]
    changed = [image for image in images if image.total]
    changed.sort(key=lambda image: -image.total)
    return Comparison(
        metrics=(*_headlines(a, b), *_table_rows(a, b)),
        classes=tuple(
            Change(left["name"], left["ap50"], right["ap50"])
            for left, right in zip(a["classes"], b["classes"], strict=True)
        ),
        errors=tuple(
            Change(left["kind"], left["cost"], right["cost"], more=False)
            for left, right in zip(a["errors"], b["errors"], strict=True)
        ),
        images=tuple(changed),
    )


def comparison_text(comparison: Comparison, images: int) -> str:
    """What a terminal shows; images: how many there are."""
    by_size = sorted(
        (change for change in comparison.classes if change.verdict != SAME),
        key=lambda change: -abs(change.step or 0),
    )
    lines = [
        _table("score", comparison.metrics),
        _table("AP50 lost to", comparison.errors),
        _table("AP50 of class", by_size[:CLASSES_TOLD]) if by_size else "no class changed",
    ]
    if len(by_size) > CLASSES_TOLD:
        lines.append(f"and {len(by_size) - CLASSES_TOLD} classes that changed less")
    lines.append(image_line(comparison.images, images))
    lines += [f"  {image.name}: {image_words(image)}" for image in comparison.images[:IMAGES_TOLD]]
    if len(comparison.images) > IMAGES_TOLD:
        lines.append(f"  and {len(comparison.images) - IMAGES_TOLD} more")
    return "\n".join(lines)


def image_line(changed: Sequence[ImageChange], images: int) -> str:
    """All images in one line."""
    found, lost, gone, new = (
        sum(getattr(image, key) for image in changed) for key in ("found", "lost", "gone", "new")
    )
    return (
        f"{len(changed)} of {images} images changed: {found} objects more found, {lost} lost; "
        f"{gone} false alarms gone, {new} new"
    )


def image_words(image: ImageChange) -> str:
    """`2 found, 1 false alarm new`: what changed in one image."""
    counts = (
        (image.found, "found"), (image.lost, "lost"),
        (image.gone, f"false alarm{'s' * (image.gone > 1)} gone"),
        (image.new, f"false alarm{'s' * (image.new > 1)} new"),
    )  # fmt: skip
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def number_of(value: float | int | None) -> str:
    """A measure or a count for a table of changes."""
    if isinstance(value, int):
        return f"{value:,}"
    return UNKNOWN if value is None else f"{value:.4f}"


def step_of(change: Change) -> str:
    """The step with its sign; none where nothing changed."""
    if not change.step:
        return ""
    return f"{change.step:+,}" if isinstance(change.step, int) else f"{change.step:+.4f}"


def _table(title: str, changes: Iterable[Change]) -> str:
    rows = [
        [change.name, number_of(change.a), number_of(change.b), step_of(change), change.verdict]
        for change in changes
    ]
    table = AsciiTable([[title, "A", "B", "change", ""], *rows])
    table.justify_columns = {column: "right" for column in (1, 2, 3)}
    return table.table


def _check_alike(a: dict, b: dict) -> None:
    """Reports are comparable only if the same boxes were to be found under the same names."""
    for key, what in (("names", "classes"), ("score_thresh", "score shown")):
        if a[key] != b[key]:
            raise DatasetError(
                f"{what}: found {_short(b[key])} in B, expected {_short(a[key])} as in A"
            )
    ids = [[image["id"] for image in run["pictures"]] for run in (a, b)]
    if ids[0] != ids[1]:
        only = [_short(sorted(set(ids[i]) - set(ids[1 - i]))) for i in (0, 1)]
        raise DatasetError(
            f"images: found {len(ids[1])} in B, expected the {len(ids[0])} of A in the same order; "
            f"only in A: {only[0]}; only in B: {only[1]}"
        )
    for left, right in zip(a["pictures"], b["pictures"], strict=True):
        if _ground_truth(left) != _ground_truth(right):
            raise DatasetError(f"image {left['id']}: found other labels in B, expected those of A")


def _ground_truth(image: dict) -> list[tuple]:
    return [
        (ground_truth["class"], ground_truth["box"], ground_truth["outcome"] == "difficult")
        for ground_truth in image["truths"]
    ]


def _short(value: object) -> str:
    text = (
        "none"
        if value == []
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def _headlines(a: dict, b: dict) -> list[Change]:
    least = f"{a['score_thresh']:g}"
    keys = (("AP50", "ap", "ap50"), ("AP", "ap", "ap"), ("AP75", "ap", "ap75")) + tuple(
        (f"{key} at {least}", "totals", key) for key in ("precision", "recall")
    )
    changes = [Change(name, a[part][key], b[part][key]) for name, part, key in keys]
    errors = [run["scores"]["calibration"]["error"] for run in (a, b)]
    return [*changes, Change("calibration error", *errors, more=False)]


def _table_rows(a: dict, b: dict) -> list[Change]:
    """The table of metrics, by name; a row of one report only has no number in the other."""
    values = [{row["metric"]: row["value"] for row in run["metrics"]} for run in (a, b)]
    names = dict.fromkeys((*values[0], *values[1]))
    return [
        Change(
            name, values[0].get(name), values[1].get(name), more=not name.endswith(LESS_IS_BETTER)
        )
        for name in names
    ]


def _image_change(index: int, a: dict, b: dict) -> ImageChange:
    found = [[ground_truth["outcome"] == FOUND for ground_truth in run["truths"]] for run in (a, b)]
    both = list(zip(*found, strict=True))
    alarms = [[each for each in run["detections"] if each["kind"] in FALSE_KINDS] for run in (a, b)]
    stayed = _stayed(*alarms)
    return ImageChange(
        index=index,
        name=a["id"],
        found=sum(now and not before for before, now in both),
        lost=sum(before and not now for before, now in both),
        gone=len(alarms[0]) - stayed,
        new=len(alarms[1]) - stayed,
    )


def _stayed(before: Sequence[dict], now: Sequence[dict]) -> int:
    """How many false alarms are the same: one class, and IoU of at least .5, one for one."""
    if not before or not now:
        return 0
    ground_truth = GroundTruth(
        np.zeros(len(before), np.int64), _column(before, "class"), _column(before, "box"),
        np.zeros(len(before), bool),
    )  # fmt: skip
    found = ScoredBoxes(
        np.zeros(len(now), np.int64),
        _column(now, "class"),
        _column(now, "score"),
        _column(now, "box"),
    )
    pairs = overlapping_pairs(ground_truth, found, FOREGROUND_IOU)
    pairs = pairs.where(ground_truth.labels[pairs.ground_truth] == found.labels[pairs.detection])
    given = match_free(ground_truth, found, pairs, FOREGROUND_IOU, ground_truth.difficult)
    return int(np.count_nonzero(given != NONE))


def _column(rows: Sequence[dict], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows])
