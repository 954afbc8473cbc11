"""VOC's matching and average precision, one detection after the other, in plain Python.

For tests only: slow and simple, written from VOC's rules (The PASCAL VOC Challenge 2007,
development kit) and voc_eval's details: IoU strictly above the threshold, recalls at multiples of
the float 0.1.
"""


def iou(first, second, extent):
    """Return the IoU of two boxes (x1, y1, x2, y2); `extent` is added to each width and height."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + extent
    height = min(first[3], second[3]) - max(first[1], second[1]) + extent
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + extent) * (box[3] - box[1] + extent) for box in (first, second)]
    union = sum(areas) - shared
    return shared / union if union > 0 else 0.0


def marks_of(ground_truths, detections, thresh, extent):
    """Return True (TP), False (FP) or None (does not count) for each detection, by descending score.

    ground_truths: (image, box, difficult) of one class; detections: (image, score, box) of the same class.
    """
    taken, result = set(), []
    for image, _, box in sorted(detections, key=lambda each: -each[1]):  # sorted() is stable
        best, best_iou = None, thresh
        for number, (ground_truth_image, ground_truth_box, _) in enumerate(ground_truths):
            if ground_truth_image == image and iou(box, ground_truth_box, extent) > best_iou:
                best, best_iou = number, iou(box, ground_truth_box, extent)
        if best is None:
            result.append(False)
        elif ground_truths[best][2]:
            result.append(None)
        else:
            result.append(best not in taken)
            taken.add(best)
    return result


def curve(marks, to_find):
    """Return [(recall, precision)] after each detection that counts; `to_find`: the number of ground truths."""
    points, true_positives, count = [], 0, 0
    for mark in marks:
        if mark is None:
            continue
        count += 1
        true_positives += mark
        points.append((true_positives / to_find, true_positives / count))
    return points


def voc07(points):
    """Return the mean over eleven recalls of the best precision at that recall or beyond."""
    total = 0.0
    for tenth in range(11):
        total += max([p for r, p in points if r >= tenth * 0.1], default=0.0)
    return total / 11


def area(points):
    """Return the area under the curve, each precision raised to the best at that recall or beyond."""
    total, last = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        total += (recall - last) * max(p for r, p in points if r >= recall)
        last = recall
    return total
