"""What kind of error each wrong detection and each missed truth is, and how much mAP each kind costs.

The kinds and their cures are those of TIDE (Bolya et al. 2020, arXiv:2008.08115, sections 2.2 and 2.3); where the paper
leaves open which of two kinds an error is, the order is its toolbox's (tidecv).
"""

from dataclasses import dataclass, replace

import numpy as np

from yolo.evaluate.metrics.average_precision import mean_ap
from yolo.evaluate.metrics.coco_matching import (
    NONE,
    Standing,
    best_partner,
    by_score,
    class_aps,
    match_free,
    overlapping,
    same_class,
)
from yolo.records import GroundTruth, ScoredBoxes

FOREGROUND_IOU = 0.5  # the paper's t_f: found

BACKGROUND_IOU = 0.1  # the paper's t_b: below it nothing was meant


CLASSIFICATION, LOCALISATION, BOTH = "classification", "localisation", "both"


DUPLICATE, BACKGROUND, MISSED = "duplicate", "background", "missed"


RIGHT, UNCOUNTED = "right", "uncounted"

FALSE_KINDS = (CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND)

KINDS = (*FALSE_KINDS, MISSED)


FALSE_POSITIVES, FALSE_NEGATIVES = "false positives", "false negatives"


@dataclass(frozen=True)
class Errors:
    """What became of each detection and each truth.

    kind: str [N], one of FALSE_KINDS, RIGHT, or UNCOUNTED (on a difficult truth). partner: int64 [N], the truth that
    was found, or that the error is about; NONE for background. found: bool [M]; missed: bool [M], neither found nor
    the partner of a classification or localisation error; difficult truths are in neither.
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


def find_errors(truth: GroundTruth, detections: ScoredBoxes) -> Errors:
    """Sort every detection and truth; the paper's rules, boxes continuous.

    With IoU to truths of its own class (own) and of other classes (other), a detection that found nothing is:
    localisation where .1 <= own < .5, else classification where other >= .5, else duplicate where own >= .5, else
    background where both are below .1, else both.
    """
    pairs = overlapping(truth, detections, BACKGROUND_IOU)
    ours = same_class(truth, detections, pairs)
    given = match_free(truth, detections, ours, FOREGROUND_IOU, truth.difficult)
    count = len(given)
    plain = pairs.where(~truth.difficult[pairs.truth])
    is_own = truth.labels[plain.truth] == detections.labels[plain.detection]
    own, own_truth = best_partner(plain.where(is_own), count)
    other, other_truth = best_partner(plain.where(~is_own), count)
    cases = [
        (given != NONE, RIGHT, given),
        ((own >= BACKGROUND_IOU) & (own < FOREGROUND_IOU), LOCALISATION, own_truth),
        (other >= FOREGROUND_IOU, CLASSIFICATION, other_truth),
        (own >= FOREGROUND_IOU, DUPLICATE, own_truth),
        (other >= BACKGROUND_IOU, BOTH, other_truth),
    ]
    conditions, kinds, partners = zip(*cases, strict=True)
    kind = np.select(conditions, kinds, BACKGROUND).astype("<U14")
    partner = np.select(conditions, partners, NONE)
    if count and len(truth.labels):
        kind[(given != NONE) & truth.difficult[given]] = UNCOUNTED
    return _with_truths(truth, kind, partner, np.ones(count, bool))


def shown_errors(
    truth: GroundTruth, detections: ScoredBoxes, errors: Errors, least: float
) -> Errors:
    """The same errors as if the detections with a score below `least` had never been made.

    A detection's kind depends on better ones only; what changes is which truths are found and missed.
    """
    return _with_truths(truth, errors.kind, errors.partner, detections.scores >= least)


def standing_of(
    truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int
) -> Standing:
    """What average precision at IoU 0.5 is made of, before any cure."""
    truths = np.bincount(truth.labels[~truth.difficult], minlength=classes)
    return _standing(detections, detections.labels, errors.kind == RIGHT, _counted(errors), truths)


def mean_at(stand: Standing) -> float | None:
    """Mean AP over the classes with a truth; None without one."""
    return mean_ap(class_aps(stand))


def cost_of_each(
    truth: GroundTruth, detections: ScoredBoxes, errors: Errors, classes: int
) -> list[Cost]:
    """What each of KINDS costs, then all false positives and all false negatives; none where there is no truth.

    Cures (the paper's section 2.3): classification and localisation: the best such detection of a truth not found
    becomes right, the others vanish. Both, duplicate, background: vanish. Missed: the truth need not be found. A class
    that then has nothing left to find counts as 1 (the paper does not say; tidecv counts it as 0, so that a class
    never found would cost nothing).
    """
    before = standing_of(truth, detections, errors, classes)
    base = mean_at(before)
    if base is None:
        return []
    cured = {
        kind: _replaced(truth, detections, errors, kind, before.truths)
        for kind in (CLASSIFICATION, LOCALISATION)
    }
    for kind in (BOTH, DUPLICATE, BACKGROUND):
        cured[kind] = _without(detections, errors, errors.kind == kind, before.truths)
    labels = truth.labels
    missed = np.bincount(labels[errors.missed], minlength=classes)
    cured[MISSED] = replace(before, truths=before.truths - missed)
    cured[FALSE_POSITIVES] = _without(detections, errors, errors.kind != RIGHT, before.truths)
    found = np.bincount(labels[errors.found], minlength=classes)
    cured[FALSE_NEGATIVES] = replace(before, truths=found)
    means = {kind: _mean_cured(stand, before.truths) for kind, stand in cured.items()}
    return [
        Cost(kind, means[kind], means[kind] - base)
        for kind in (*KINDS, FALSE_POSITIVES, FALSE_NEGATIVES)
    ]


def _with_truths(
    truth: GroundTruth, kind: np.ndarray, partner: np.ndarray, kept: np.ndarray
) -> Errors:
    """Errors whose truths are found and excused by the detections `kept` (bool [N]) alone."""
    found, excused = np.zeros(len(truth.labels), bool), np.zeros(len(truth.labels), bool)
    found[partner[kept & (kind == RIGHT)]] = True
    excused[partner[kept & np.isin(kind, (CLASSIFICATION, LOCALISATION))]] = True
    return Errors(kind, partner, found, ~(found | excused | truth.difficult))


def _counted(errors: Errors) -> np.ndarray:
    return errors.kind != UNCOUNTED


def _standing(
    detections: ScoredBoxes,
    labels: np.ndarray,
    correct: np.ndarray,
    kept: np.ndarray,
    truths: np.ndarray,
) -> Standing:
    order = by_score(detections)
    order = order[kept[order]]
    return Standing(labels[order], correct[order], truths)


def _without(
    detections: ScoredBoxes, errors: Errors, gone: np.ndarray, truths: np.ndarray
) -> Standing:
    kept = _counted(errors) & ~gone
    return _standing(detections, detections.labels, errors.kind == RIGHT, kept, truths)


def _replaced(
    truth: GroundTruth, detections: ScoredBoxes, errors: Errors, kind: str, truths: np.ndarray
) -> Standing:
    """The best detection of this kind of each truth not found made right, the others taken away."""
    order = by_score(detections)
    order = order[errors.kind[order] == kind]
    order = order[~errors.found[errors.partner[order]]]
    _, first = np.unique(errors.partner[order], return_index=True)
    best = order[first]
    kept, correct = _counted(errors) & (errors.kind != kind), errors.kind == RIGHT
    kept[best] = correct[best] = True
    labels = detections.labels.copy()
    labels[best] = truth.labels[errors.partner[best]]
    return _standing(detections, labels, correct, kept, truths)


def _mean_cured(stand: Standing, truths: np.ndarray) -> float:
    """Mean over the classes that had something to find before; 1 for one with nothing left."""
    aps = [
        1.0 if ap is None else ap
        for ap, had in zip(class_aps(stand), truths.tolist(), strict=True)
        if had
    ]
    return float(np.mean(aps))
