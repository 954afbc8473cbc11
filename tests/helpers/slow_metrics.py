"""Every metric beside average precision, one box after the other, in plain Python.

For tests only: slow and simple. Boxes are rows: ground truths (image, label, box, difficult) and detections
(image, label, score, box).
"""

import math

from tests.helpers.slow_ap import iou, marks_of


def darknet(ground_truths, detections, classes, thresh, counted_thresh):
    """Return ({points: [AP of each class]}, {points: mAP}, [(TP, FP, FN, sum of IoU) of each class]).

    As in validate_detector_map: first every detection is matched to a ground truth, image by image. Then the detections
    of all classes are ranked together, and each class has a (precision, recall) at every rank. Within an image
    detections are sorted by descending score.
    """
    easy = [row for row in ground_truths if not row[3]]
    hard = [row for row in ground_truths if row[3]]
    seen = [row for row in detections if row[2] > 0.005]
    ranked = sorted(range(len(seen)), key=lambda number: -seen[number][2])
    counts = [[0, 0, 0, 0.0] for _ in range(classes)]
    listed, counted_ground_truths = [], set()
    for number in ranked:
        image, label, score, box = seen[number]
        mine, best = None, 0.0
        for place, (ground_truth_image, ground_truth_label, ground_truth_box, _) in enumerate(easy):
            overlap = iou(box, ground_truth_box, 0)
            if (ground_truth_image, ground_truth_label) == (image, label) and overlap > max(thresh, best):
                mine, best = place, overlap
        excused = mine is None and any(
            (ground_truth_image, ground_truth_label) == (image, label) and iou(box, ground_truth_box, 0) > thresh
            for ground_truth_image, ground_truth_label, ground_truth_box, _ in hard
        )
        if not excused:
            listed.append((label, mine))
        if score > counted_thresh:
            hit = mine is not None and mine not in counted_ground_truths
            counts[label][0 if hit else 1] += 1
            counts[label][3] += best if hit else 0.0
        counted_ground_truths.add(mine)
    to_find = [sum(row[1] == label for row in easy) for label in range(classes)]
    for label in range(classes):
        counts[label][2] = to_find[label] - counts[label][0]
    curves = _ranks(listed, to_find)
    aps = {points: [_darknet_ap(curve, points) for curve in curves] for points in (0, 11, 101)}
    means = {points: sum(values) / classes for points, values in aps.items()}
    return aps, means, [tuple(each) for each in counts]


def _ranks(listed, to_find):
    """Return for each class (recall, precision) at every rank of the detections of all classes."""
    right, wrong, taken = [0] * len(to_find), [0] * len(to_find), set()
    curves = [[] for _ in to_find]
    for label, mine in listed:
        if mine is not None and mine not in taken:
            taken.add(mine)
            right[label] += 1
        else:
            wrong[label] += 1
        for each, curve in enumerate(curves):
            found = right[each] + wrong[each]
            curve.append(
                (
                    right[each] / to_find[each] if to_find[each] else 0.0,
                    right[each] / found if found else 0.0,
                )
            )
    return curves


def _darknet_ap(curve, points):
    if not curve:
        return 0.0
    if points:
        recalls = [point / (points - 1) for point in range(points)]
        best = [max([p for r, p in curve if r >= recall], default=0.0) for recall in recalls]
        return sum(best) / points
    total, (last_recall, best) = 0.0, curve[-1]
    for recall, precision in reversed(curve[:-1]):
        step, last_recall = last_recall - recall, recall
        best = max(best, precision)  # before the step is added, as in Darknet
        total += step * best
    return total + last_recall * best


def counts(ground_truths, detections, classes, thresh, extent, score_thresh):
    """Return (TP, FP, FN, sum of IoU) of each class, by VOC's matching."""
    result = []
    for label in range(classes):
        ours = [(image, box, hard) for image, of, box, hard in ground_truths if of == label]
        theirs = [(image, score, box) for image, of, score, box in detections if of == label and score > score_thresh]
        marks = marks_of(ours, theirs, thresh, extent)
        overlap = 0.0
        for (image, _, box), mark in zip(sorted(theirs, key=lambda each: -each[1]), marks, strict=True):
            if mark:
                overlap += max(iou(box, other, extent) for at, other, _ in ours if at == image)
        true_positives = marks.count(True)
        to_find = sum(not hard for _, _, hard in ours)
        result.append((true_positives, marks.count(False), to_find - true_positives, overlap))
    return result


def miss_rate(marks, to_find, images):
    """Return the geometric mean of nine miss rates; marks: True, False or None by descending score."""
    total = 0.0
    for exponent in range(9):
        allowed = 10 ** (-2 + exponent / 4)
        rate, true_positives, false_positives = 1.0, 0, 0
        for mark in marks:
            true_positives += mark is True
            false_positives += mark is False
            if false_positives / images <= allowed:
                rate = 1 - true_positives / to_find
        total += math.log(max(rate, 1e-10))
    return math.exp(total / 9)


def confusion(ground_truths, detections, classes, thresh, extent, score_thresh):
    """Return rows of ground truth and columns of detections, with the background last in both."""
    matrix = [[0] * (classes + 1) for _ in range(classes + 1)]
    taken = set()
    kept = [row for row in detections if row[2] > score_thresh]
    for image, label, _, box in sorted(kept, key=lambda row: -row[2]):
        near = [
            (iou(box, other, extent), of == label, -number, of)
            for number, (at, of, other, hard) in enumerate(ground_truths)
            if at == image and not hard and number not in taken
            if iou(box, other, extent) > thresh
        ]
        excused = any(at == image and hard and iou(box, other, extent) > thresh for at, _, other, hard in ground_truths)
        if near:
            _, _, number, of = max(near)
            taken.add(-number)
            matrix[of][label] += 1
        elif not excused:
            matrix[classes][label] += 1
    for number, (_, of, _, hard) in enumerate(ground_truths):
        if not hard and number not in taken:
            matrix[of][classes] += 1
    return matrix
