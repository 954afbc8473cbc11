"""Two reports of the same pictures: what got better, what got worse, and which pictures changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from terminaltables import AsciiTable

from yolo.errors import DatasetError
from yolo.evaluate.analysis.images import FOUND
from yolo.evaluate.analysis.tide import FALSE_KINDS, FOREGROUND_IOU
from yolo.evaluate.metrics.coco_matching import NONE, match_free, overlapping
from yolo.records import GroundTruth, ScoredBoxes

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "same", "n/a"

PICTURES_TOLD = 8  # in the terminal

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
class PictureChange:
    """How one picture changed from A to B, at the score that both reports show.

    found, lost: truths that only B, only A found; gone, new: false alarms that only A, only B has.
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
    """All changes. pictures: those that changed, most changes first."""

    metrics: tuple[Change, ...]
    classes: tuple[Change, ...]
    errors: tuple[Change, ...]
    pictures: tuple[PictureChange, ...]


def compare(a: dict, b: dict) -> Comparison:
    """The changes from report `a` to report `b`.

    Raises:
        DatasetError: reports of other classes, pictures, truths or of another score shown, whose numbers say nothing
            about each other.
    """
    _check_alike(a, b)
    pictures = [
        _picture_change(index, *pair)
        for index, pair in enumerate(zip(a["pictures"], b["pictures"], strict=True))
    ]
    changed = [picture for picture in pictures if picture.total]
    changed.sort(key=lambda picture: -picture.total)
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
        pictures=tuple(changed),
    )


def comparison_text(comparison: Comparison, pictures: int) -> str:
    """What a terminal shows; pictures: how many there are."""
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
    lines.append(picture_line(comparison.pictures, pictures))
    lines += [
        f"  {picture.name}: {picture_words(picture)}"
        for picture in comparison.pictures[:PICTURES_TOLD]
    ]
    if len(comparison.pictures) > PICTURES_TOLD:
        lines.append(f"  and {len(comparison.pictures) - PICTURES_TOLD} more")
    return "\n".join(lines)


def picture_line(changed: Sequence[PictureChange], pictures: int) -> str:
    """All pictures in one line."""
    found, lost, gone, new = (
        sum(getattr(picture, key) for picture in changed)
        for key in ("found", "lost", "gone", "new")
    )
    return (
        f"{len(changed)} of {pictures} pictures changed: {found} objects more found, {lost} lost; "
        f"{gone} false alarms gone, {new} new"
    )


def picture_words(picture: PictureChange) -> str:
    """`2 found, 1 false alarm new`: what changed in one picture."""
    counts = (
        (picture.found, "found"), (picture.lost, "lost"),
        (picture.gone, f"false alarm{'s' * (picture.gone > 1)} gone"),
        (picture.new, f"false alarm{'s' * (picture.new > 1)} new"),
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
    ids = [[picture["id"] for picture in run["pictures"]] for run in (a, b)]
    if ids[0] != ids[1]:
        only = [_short(sorted(set(ids[i]) - set(ids[1 - i]))) for i in (0, 1)]
        raise DatasetError(
            f"pictures: found {len(ids[1])} in B, expected the {len(ids[0])} of A in the same order; "
            f"only in A: {only[0]}; only in B: {only[1]}"
        )
    for left, right in zip(a["pictures"], b["pictures"], strict=True):
        if _truth(left) != _truth(right):
            raise DatasetError(
                f"picture {left['id']}: found other labels in B, expected those of A"
            )


def _truth(picture: dict) -> list[tuple]:
    return [
        (truth["class"], truth["box"], truth["outcome"] == "difficult")
        for truth in picture["truths"]
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


def _picture_change(index: int, a: dict, b: dict) -> PictureChange:
    found = [[truth["outcome"] == FOUND for truth in run["truths"]] for run in (a, b)]
    both = list(zip(*found, strict=True))
    alarms = [[each for each in run["detections"] if each["kind"] in FALSE_KINDS] for run in (a, b)]
    stayed = _stayed(*alarms)
    return PictureChange(
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
    truth = GroundTruth(
        np.zeros(len(before), np.int64), _column(before, "class"), _column(before, "box"),
        np.zeros(len(before), bool),
    )  # fmt: skip
    found = ScoredBoxes(
        np.zeros(len(now), np.int64),
        _column(now, "class"),
        _column(now, "score"),
        _column(now, "box"),
    )
    pairs = overlapping(truth, found, FOREGROUND_IOU)
    pairs = pairs.where(truth.labels[pairs.truth] == found.labels[pairs.detection])
    given = match_free(truth, found, pairs, FOREGROUND_IOU, truth.difficult)
    return int(np.count_nonzero(given != NONE))


def _column(rows: Sequence[dict], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows])
