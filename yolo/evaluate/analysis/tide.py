"""TIDE's kinds of error: the kind of each false positive and undetected ground truth, and the mAP that each kind costs.

The kinds and the way to fix them are those of TIDE (Bolya et al. 2020, arXiv:2008.08115, sections 2.2 and 2.3). Where
the paper leaves open which of two kinds an error is, the order is that of its toolbox (tidecv).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

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

FOREGROUND_IOU = 0.5  # the paper's t_f: from this overlap on an object is detected
BACKGROUND_IOU = 0.1  # the paper's t_b: below this overlap a detection is of background

# report.json has the values of these names
CLASSIFICATION, LOCALIZATION, BOTH = "classification", "localisation", "both"
DUPLICATE, BACKGROUND, MISSED = "duplicate", "background", "missed"
TRUE_POSITIVE, IGNORED = "right", "uncounted"
FALSE_KINDS = (CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND)  # of detections
KINDS = (*FALSE_KINDS, MISSED)
FALSE_POSITIVES, FALSE_NEGATIVES = "false positives", "false negatives"


@dataclass(frozen=True)
class Errors:
    """The outcome of each of N detections and M ground truths.

    kind: str [N], one of FALSE_KINDS, TRUE_POSITIVE, or IGNORED for a detection matched to a difficult ground truth.
    partner: int64 [N], the ground truth that was detected or that the error is about; NONE for background. detected:
    bool [M]. missed: bool [M], neither detected nor the partner of a classification or localization error. Difficult
    ground truths are in neither.
    """

    kind: np.ndarray
    partner: np.ndarray
    detected: np.ndarray
    missed: np.ndarray


class Cost(NamedTuple):
    """fixed: mAP at IoU 0.5 without one kind of error, all others left. cost: the gain over the mAP with it."""

    fixed: float
    cost: float


def find_errors(ground_truth: GroundTruth, detections: ScoredBoxes) -> Errors:
    """Find the outcome of every detection and ground truth by the paper's rules; boxes are continuous.

    `own` is a detection's largest IoU with a ground truth of its class, `other` that with one of another class. A
    detection that is not matched is a localization error where .1 <= own < .5, else a classification error where
    other >= .5, else a duplicate where own >= .5, else background where both are below .1, else both.
    """
    pairs = overlapping_pairs(ground_truth, detections, BACKGROUND_IOU)
    own_pairs = same_class(ground_truth, detections, pairs)
    match = match_free(ground_truth, detections, own_pairs, FOREGROUND_IOU, ground_truth.difficult)
    count = len(match)
    plain = pairs.where(~ground_truth.difficult[pairs.ground_truth])
    is_own = ground_truth.labels[plain.ground_truth] == detections.labels[plain.detection]
    own, own_ground_truth = best_partner(plain.where(is_own), count)
    other, other_ground_truth = best_partner(plain.where(~is_own), count)
    cases = [
        (match != NONE, TRUE_POSITIVE, match),
        ((own >= BACKGROUND_IOU) & (own < FOREGROUND_IOU), LOCALIZATION, own_ground_truth),
        (other >= FOREGROUND_IOU, CLASSIFICATION, other_ground_truth),
        (own >= FOREGROUND_IOU, DUPLICATE, own_ground_truth),
        (other >= BACKGROUND_IOU, BOTH, other_ground_truth),
    ]
    conditions, kinds, partners = zip(*cases, strict=True)
    kind = np.select(conditions, kinds, BACKGROUND).astype("<U14")
    partner = np.select(conditions, partners, NONE)
    if count and len(ground_truth.labels):
        kind[(match != NONE) & ground_truth.difficult[match]] = IGNORED
    return _with_ground_truths(ground_truth, kind, partner, np.ones(count, bool))


def errors_from_score(
    ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, score_thresh: float
) -> Errors:
    """Return the errors as if the detections with a score below a threshold did not exist.

    The kind of a detection depends only on detections with higher scores, so the kinds stay the same. What changes is
    which ground truths are detected and which are missed.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        errors: of all detections, from `find_errors`.
        score_thresh: detections with a score below this are left out.
    """
    return _with_ground_truths(ground_truth, errors.kind, errors.partner, detections.scores >= score_thresh)


def ranked_of(ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int) -> RankedDetections:
    """Return what average precision at IoU 0.5 is computed from, with all errors.

    Args:
        ground_truth: boxes in the frame of the detections.
        detections: in any order.
        errors: of these detections, from `find_errors`.
        classes: the number of classes.
    """
    ground_truths = np.bincount(ground_truth.labels[~ground_truth.difficult], minlength=classes)
    return _without(detections, errors, (), ground_truths)


def cost_of_each(ground_truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int) -> dict[str, Cost]:
    """Return what each of KINDS costs, then all false positives and all false negatives.

    Fixes (section 2.3 of the paper): of the classification (or localization) errors of an undetected ground truth, the
    best detection becomes a true positive and the others are removed. Detections of kind both, duplicate and background
    are removed. Missed ground truths do not count. A class that then has no ground truth left has AP 1. The paper has
    no rule for it; tidecv uses 0, so that a class that is never detected would cost nothing.

    Args:
        ground_truth: the labeled boxes.
        detections: in any order.
        errors: of these detections, from `find_errors`.
        classes: the number of classes.

    Returns:
        The cost of each kind; empty without ground truth.
    """
    before = ranked_of(ground_truth, detections, errors, classes)
    base = mean_ap(class_aps(before))
    if base is None:
        return {}
    total = before.ground_truths
    missed, detected = (
        np.bincount(ground_truth.labels[chosen], minlength=classes) for chosen in (errors.missed, errors.detected)
    )
    fixed = {
        CLASSIFICATION: _replaced(ground_truth, detections, errors, CLASSIFICATION, total),
        LOCALIZATION: _replaced(ground_truth, detections, errors, LOCALIZATION, total),
        BOTH: _without(detections, errors, (BOTH,), total),
        DUPLICATE: _without(detections, errors, (DUPLICATE,), total),
        BACKGROUND: _without(detections, errors, (BACKGROUND,), total),
        MISSED: replace(before, ground_truths=total - missed),
        FALSE_POSITIVES: _without(detections, errors, FALSE_KINDS, total),
        FALSE_NEGATIVES: replace(before, ground_truths=detected),
    }
    means = {kind: _mean_fixed(ranked, total) for kind, ranked in fixed.items()}
    return {kind: Cost(mean, mean - base) for kind, mean in means.items()}


def _with_ground_truths(ground_truth: GroundTruth, kind: np.ndarray, partner: np.ndarray, kept: np.ndarray) -> Errors:
    """Return the errors when only the detections `kept` (bool [N]) count for the ground truths."""
    count = len(ground_truth.labels)
    detected, with_error = np.zeros(count, bool), np.zeros(count, bool)
    detected[partner[kept & (kind == TRUE_POSITIVE)]] = True
    with_error[partner[kept & np.isin(kind, (CLASSIFICATION, LOCALIZATION))]] = True
    return Errors(kind, partner, detected, ~(detected | with_error | ground_truth.difficult))


def _ranked(
    detections: ScoredBoxes,
    labels: np.ndarray,
    true_positive: np.ndarray,
    kept: np.ndarray,
    ground_truths: np.ndarray,
) -> RankedDetections:
    order = score_order(detections)
    order = order[kept[order]]
    return RankedDetections(labels[order], true_positive[order], ground_truths)


def _without(
    detections: ScoredBoxes, errors: Errors, kinds: Sequence[str], ground_truths: np.ndarray
) -> RankedDetections:
    """Leave out the detections of `kinds`."""
    kept = ~np.isin(errors.kind, (IGNORED, *kinds))
    true_positive = errors.kind == TRUE_POSITIVE
    return _ranked(detections, detections.labels, true_positive, kept, ground_truths)


def _replaced(
    ground_truth: GroundTruth,
    detections: ScoredBoxes,
    errors: Errors,
    kind: str,
    ground_truths: np.ndarray,
) -> RankedDetections:
    """Make the best detection of this kind of each undetected ground truth a true positive; remove the others."""
    order = score_order(detections)
    order = order[errors.kind[order] == kind]
    order = order[~errors.detected[errors.partner[order]]]
    _, first = np.unique(errors.partner[order], return_index=True)
    best = order[first]
    kept = (errors.kind != IGNORED) & (errors.kind != kind)
    true_positive = errors.kind == TRUE_POSITIVE
    kept[best] = true_positive[best] = True
    labels = detections.labels.copy()
    labels[best] = ground_truth.labels[errors.partner[best]]
    return _ranked(detections, labels, true_positive, kept, ground_truths)


def _mean_fixed(ranked: RankedDetections, ground_truths: np.ndarray) -> float:
    """Return the mean over the classes that had ground truth before the fix; AP 1 for one with none left."""
    aps = [1.0 if ap is None else ap for ap, had in zip(class_aps(ranked), ground_truths.tolist(), strict=True) if had]
    return float(np.mean(aps))
