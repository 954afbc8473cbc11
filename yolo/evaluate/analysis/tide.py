"""What kind of error each wrong detection and each missed ground truth is, and how much mAP each kind costs.

The kinds and their cures are those of TIDE (Bolya et al. 2020, arXiv:2008.08115, sections 2.2 and 2.3); where the paper
leaves open which of two kinds an error is, the order is its toolbox's (tidecv).
"""

from dataclasses import dataclass, replace

import numpy as np

from yolo.evaluate.metrics.coco_matching import (
    NONE,
    RankedDetections,
    best_partner,
    class_aps,
    match_free,
    overlapping_pairs,
    same_class,
    score_order,
)
from yolo.evaluate.metrics.voc import mean_ap
from yolo.records import GroundTruth, ScoredBoxes

FOREGROUND_IOU = 0.5  # the paper's t_f: found

BACKGROUND_IOU = 0.1  # the paper's t_b: below it nothing was meant


CLASSIFICATION, LOCALIZATION, BOTH = "classification", "localisation", "both"


DUPLICATE, BACKGROUND, MISSED = "duplicate", "background", "missed"


RIGHT, UNCOUNTED = "right", "uncounted"

FALSE_KINDS = (CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND)

KINDS = (*FALSE_KINDS, MISSED)


FALSE_POSITIVES, FALSE_NEGATIVES = "false positives", "false negatives"


@dataclass(frozen=True)
class Errors:
    """What became of each detection and each ground truth.

    kind: str [N], one of FALSE_KINDS, RIGHT, or UNCOUNTED (on a difficult ground truth). partner: int64 [N], the ground truth that
    was found, or that the error is about; NONE for background. found: bool [M]; missed: bool [M], neither found nor
    the partner of a classification or localization error; difficult ground truths are in neither.
    """

    kind: np.ndarray
    partner: np.ndarray
    found: np.ndarray
    missed: np.ndarray


@dataclass(frozen=True)
class Cost:
    """mAP at IoU 0.5 when one kind of error is cured and everything else is left, and what that gains."""

    kind: str
    cured: float
    cost: float


def find_errors(ground_truth: GroundTruth, detections: ScoredBoxes) -> Errors:
    """Sort every detection and ground truth; the paper's rules, boxes continuous.

    With IoU to ground truths of its own class (own) and of other classes (other), a detection that found nothing is:
    localization where .1 <= own < .5, else classification where other >= .5, else duplicate where own >= .5, else
    background where both are below .1, else both.
    """
    pairs = overlapping_pairs(ground_truth, detections, BACKGROUND_IOU)
    ours = same_class(ground_truth, detections, pairs)
    given = match_free(ground_truth, detections, ours, FOREGROUND_IOU, ground_truth.difficult)
    count = len(given)
    plain = pairs.where(~ground_truth.difficult[pairs.ground_truth])
    is_own = ground_truth.labels[plain.ground_truth] == detections.labels[plain.detection]
    own, own_ground_truth = best_partner(plain.where(is_own), count)
    other, other_ground_truth = best_partner(plain.where(~is_own), count)
    cases = [
        (given != NONE, RIGHT, given),
        ((own >= BACKGROUND_IOU) & (own < FOREGROUND_IOU), LOCALIZATION, own_ground_truth),
        (other >= FOREGROUND_IOU, CLASSIFICATION, other_ground_truth),
        (own >= FOREGROUND_IOU, DUPLICATE, own_ground_truth),
        (other >= BACKGROUND_IOU, BOTH, other_ground_truth),
    ]
    conditions, kinds, partners = zip(*cases, strict=True)
    kind = np.select(conditions, kinds, BACKGROUND).astype("<U14")
    partner = np.select(conditions, partners, NONE)
    if count and len(ground_truth.labels):
        kind[(given != NONE) & ground_truth.difficult[given]] = UNCOUNTED
    return _with_ground_truths(ground_truth, kind, partner, np.ones(count, bool))


def shown_errors(
    ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, least: float
) -> Errors:
    """The same errors as if the detections with a score below `least` had never been made.

    A detection's kind depends on better ones only; what changes is which ground truths are found and missed.
    """
    return _with_ground_truths(
        ground_truth, errors.kind, errors.partner, detections.scores >= least
    )


def standing_of(
    ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int
) -> RankedDetections:
    """What average precision at IoU 0.5 is made of, before any cure."""
    ground_truths = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=classes)
    return _standing(
        detections, detections.labels, errors.kind == RIGHT, _counted(errors), ground_truths
    )


def mean_at(stand: RankedDetections) -> float | None:
    """Mean AP over the classes with a ground truth; None without one."""
    return mean_ap(class_aps(stand))


def cost_of_each(
    ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int
) -> list[Cost]:
    """What each of KINDS costs, then all false positives and all false negatives; none where there is no ground truth.

    Cures (the paper's section 2.3): classification and localization: the best such detection of a ground truth not found
    becomes right, the others vanish. Both, duplicate, background: vanish. Missed: the ground truth need not be found. A class
    that then has nothing left to find counts as 1 (the paper does not say; tidecv counts it as 0, so that a class
    never found would cost nothing).
    """
    before = standing_of(ground_truth, detections, errors, classes)
    base = mean_at(before)
    if base is None:
        return []
    cured = {
        kind: _replaced(ground_truth, detections, errors, kind, before.ground_truths)
        for kind in (CLASSIFICATION, LOCALIZATION)
    }
    for kind in (BOTH, DUPLICATE, BACKGROUND):
        cured[kind] = _without(detections, errors, errors.kind == kind, before.ground_truths)
    labels = ground_truth.labels
    missed = np.bincount(labels[errors.missed], minlength=classes)
    cured[MISSED] = replace(before, ground_truths=before.ground_truths - missed)
    cured[FALSE_POSITIVES] = _without(
        detections, errors, errors.kind != RIGHT, before.ground_truths
    )
    found = np.bincount(labels[errors.found], minlength=classes)
    cured[FALSE_NEGATIVES] = replace(before, ground_truths=found)
    means = {kind: _mean_cured(stand, before.ground_truths) for kind, stand in cured.items()}
    return [
        Cost(kind, means[kind], means[kind] - base)
        for kind in (*KINDS, FALSE_POSITIVES, FALSE_NEGATIVES)
    ]


def _with_ground_truths(
    ground_truth: GroundTruth, kind: np.ndarray, partner: np.ndarray, kept: np.ndarray
) -> Errors:
    """Errors whose ground truths are found and excused by the detections `kept` (bool [N]) alone."""
    found, excused = (
        np.zeros(len(ground_truth.labels), bool),
        np.zeros(len(ground_truth.labels), bool),
    )
    found[partner[kept & (kind == RIGHT)]] = True
    excused[partner[kept & np.isin(kind, (CLASSIFICATION, LOCALIZATION))]] = True
    return Errors(kind, partner, found, ~(found | excused | ground_truth.difficult))


def _counted(errors: Errors) -> np.ndarray:
    return errors.kind != UNCOUNTED


def _standing(
    detections: ScoredBoxes,
    labels: np.ndarray,
    correct: np.ndarray,
    kept: np.ndarray,
    ground_truths: np.ndarray,
) -> RankedDetections:
    order = score_order(detections)
    order = order[kept[order]]
    return RankedDetections(labels[order], correct[order], ground_truths)


def _without(
    detections: ScoredBoxes, errors: Errors, gone: np.ndarray, ground_truths: np.ndarray
) -> RankedDetections:
    kept = _counted(errors) & ~gone
    return _standing(detections, detections.labels, errors.kind == RIGHT, kept, ground_truths)


def _replaced(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    errors: Errors,
    kind: str,
    ground_truths: np.ndarray,
) -> RankedDetections:
    """The best detection of this kind of each ground truth not found made right, the others taken away."""
    order = score_order(detections)
    order = order[errors.kind[order] == kind]
    order = order[~errors.found[errors.partner[order]]]
    _, first = np.unique(errors.partner[order], return_index=True)
    best = order[first]
    kept, correct = _counted(errors) & (errors.kind != kind), errors.kind == RIGHT
    kept[best] = correct[best] = True
    labels = detections.labels.copy()
    labels[best] = ground_truth.labels[errors.partner[best]]
    return _standing(detections, labels, correct, kept, ground_truths)


def _mean_cured(stand: RankedDetections, ground_truths: np.ndarray) -> float:
    """Mean over the classes that had something to find before; 1 for one with nothing left."""
    aps = [
        1.0 if ap is None else ap
        for ap, had in zip(class_aps(stand), ground_truths.tolist(), strict=True)
        if had
    ]
    return float(np.mean(aps))
