"""The detections of a walked class in words: rows of the page's table, drawings, and lines of detections.csv."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from yolo.evaluate.metrics.voc import NO_GROUND_TRUTH
from yolo.explain.boxed_images import DrawnBox, drawn_around, find_shown_image, read_pixels
from yolo.explain.score.charts import outcome_look
from yolo.explain.score.walk import IGNORED, NOTHING, OUTCOME_NAMES, TAKEN, TOO_FAR, TRUE_POSITIVE, ClassWalk
from yolo.explain.score.walked_score import ScoredSet, WalkedScore
from yolo.formats.ground_truth_set import image_id_of
from yolo.pages.svg import Drawing

FIRST_ROWS, FURTHER_ROWS = 60, 60  # of the table: the first ones, then equally far apart
SHOWN_IMAGES, SIDE = 12, 260  # cards of each of the two lists; their longest side in pixels
COLUMNS = (
    "rank", "score", "image", "xmin", "ymin", "xmax", "ymax", "iou", "verdict", "taken_by_rank",
    "true_positives", "false_positives", "precision", "recall",
)  # fmt: skip


class DetectionRow(NamedTuple):
    """A row of the table. look: of its outcome in the style sheet; reason: the outcome in a sentence."""

    rank: int
    score: float
    image: str
    iou: float
    outcome: str
    look: str
    reason: str
    true_positives: int
    false_positives: int
    precision: float
    recall: float


class DetectionCard(NamedTuple):
    """A detection and its ground truth in the image. drawing: None where the image is not there."""

    row: DetectionRow
    drawing: Drawing


def table_places(count: int) -> list[int]:
    """Return the places of the rows that the page shows: the first ones, then equally far apart, and the last."""
    if count <= FIRST_ROWS + FURTHER_ROWS:
        return list(range(count))
    return [*range(FIRST_ROWS), *np.unique(np.linspace(FIRST_ROWS, count - 1, FURTHER_ROWS).astype(int)).tolist()]


def shown_places(walk: ClassWalk) -> tuple[list[int], list[int]]:
    """Return the places of the first detections, and of the false positives with the highest scores after them."""
    first = list(range(min(SHOWN_IMAGES, len(walk.rows))))
    faults = np.flatnonzero((walk.outcome != TRUE_POSITIVE) & (walk.outcome != IGNORED))
    return first, faults[faults >= len(first)][:SHOWN_IMAGES].tolist()


def detection_row(score: WalkedScore, scored: ScoredSet, place: int) -> DetectionRow:
    """Return the row of the detection at a place of the walk."""
    walk = score.walk
    outcome = int(walk.outcome[place])
    return DetectionRow(
        rank=place + 1,
        score=float(walk.scores[place]),
        image=_image(scored, walk, place),
        iou=float(walk.iou[place]),
        outcome="TP" if outcome == TRUE_POSITIVE else "-" if outcome == IGNORED else "FP",
        look=outcome_look(outcome),
        reason=_reason(score, scored, place),
        true_positives=int(walk.true_positives[place]),
        false_positives=int(walk.false_positives[place]),
        precision=float(walk.precision[place]),
        recall=float(walk.recall[place]),
    )


def detection_cards(score: WalkedScore, scored: ScoredSet, places: Sequence[int]) -> list[DetectionCard]:
    """Return drawings of detections with their ground truths; those whose images cannot be read are left out."""
    cards = []
    for place in places:
        row = int(score.walk.rows[place])
        path = find_shown_image(scored.files[scored.detections.image_index[row]], scored.folders)
        pixels = read_pixels(path)
        if pixels is not None:
            cards.append(DetectionCard(detection_row(score, scored, place), _drawing(score, scored, place, pixels)))
    return cards


def csv_text(score: WalkedScore, scored: ScoredSet) -> str:
    """Return all detections of the class as CSV, boxes in the pixels of the scorer."""
    walk, file = score.walk, io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place, row in enumerate(walk.rows.tolist()):
        taken = int(walk.taken_by[place])
        writer.writerow(
            (place + 1, repr(float(walk.scores[place])), _image(scored, walk, place),
             *(f"{each:g}" for each in scored.voc_detections.boxes[row].tolist()), f"{walk.iou[place]:.6f}",
             OUTCOME_NAMES[walk.outcome[place]], "" if taken == NO_GROUND_TRUTH else taken + 1,
             walk.true_positives[place], walk.false_positives[place],
             repr(float(walk.precision[place])), repr(float(walk.recall[place])))
        )  # fmt: skip
    return file.getvalue()


def _image(scored: ScoredSet, walk: ClassWalk, place: int) -> str:
    return image_id_of(scored.files[scored.detections.image_index[walk.rows[place]]])


def _reason(score: WalkedScore, scored: ScoredSet, place: int) -> str:
    """Return why a detection has its outcome."""
    walk, thresh = score.walk, f"{score.iou_thresh:g}"
    outcome, iou = int(walk.outcome[place]), f"{walk.iou[place]:.2f}"
    if outcome == TRUE_POSITIVE:
        return f"IoU {iou} with an object that no better detection has: true positive"
    if outcome == IGNORED:
        return f"IoU {iou} with an object marked difficult: not counted"
    if outcome == TAKEN:
        by = int(walk.taken_by[place])
        return f"IoU {iou}, but rank {by + 1} (score {walk.scores[by]:.3f}) has this object: duplicate"
    other = ""
    if walk.other[place] != NO_GROUND_TRUTH and walk.other_iou[place] > score.iou_thresh:
        name = scored.names[scored.voc_ground_truth.labels[walk.other[place]]]
        other = f"; it overlaps a {name} (IoU {walk.other_iou[place]:.2f}): the wrong class"
    if outcome == TOO_FAR:
        return f"IoU {iou} with the nearest {score.name}, must be above {thresh}{other}"
    assert outcome == NOTHING
    return f"it overlaps no {score.name} at all{other}"


def _drawing(score: WalkedScore, scored: ScoredSet, place: int, pixels: np.ndarray) -> Drawing:
    walk = score.walk
    row, ground_truth, outcome = int(walk.rows[place]), int(walk.ground_truth[place]), int(walk.outcome[place])
    tip = f"detection, score {walk.scores[place]:.3f}"
    boxes = [DrawnBox(scored.detections.boxes[row], outcome_look(outcome), tip)]
    if ground_truth != NO_GROUND_TRUTH:
        boxes.append(
            DrawnBox(scored.ground_truth.boxes[ground_truth], "wanted", f"ground truth, IoU {walk.iou[place]:.2f}")
        )
    return drawn_around(pixels, boxes, SIDE, f"rank {place + 1}: {OUTCOME_NAMES[outcome]}")
