"""TIDE's kinds of error and their costs, box by box in plain Python.

For tests only: slow and simple, written from the paper (arXiv:2008.08115, sections 2.2 and 2.3) and COCO's matching
rules, not from the code under test.
"""

from tests.helpers.slow_core import iou


def covered(a, b):
    """Return the fraction of the area of a that is inside b."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / ((a[2] - a[0]) * (a[3] - a[1]))


def rows_of(ground_truth, found):
    ground_truths = [
        {"image": int(p), "class": int(c), "box": b.tolist(), "difficult": bool(d)}
        for p, c, b, d in zip(
            ground_truth.image_index,
            ground_truth.labels,
            ground_truth.boxes,
            ground_truth.difficult,
            strict=True,
        )
    ]
    detections = [
        {"image": int(p), "class": int(c), "score": float(s), "box": b.tolist(), "at": at}
        for at, (p, c, s, b) in enumerate(zip(found.image_index, found.labels, found.scores, found.boxes, strict=True))
    ]
    return ground_truths, sorted(detections, key=lambda d: (-d["score"], d["image"], d["at"]))


def sort_errors(ground_truth, found):
    """Return ground truths with `found` and `missed`, and detections by descending score with `kind` and `truth`."""
    ground_truths, detections = rows_of(ground_truth, found)
    for each in ground_truths:
        each["found"] = each["excused"] = False
    for one in detections:
        mine = [t for t in ground_truths if t["image"] == one["image"]]
        own = [t for t in mine if t["class"] == one["class"] and not t["difficult"]]
        free = [t for t in own if not t["found"] and iou(one["box"], t["box"]) >= 0.5]
        hard = [
            t for t in mine
            if t["class"] == one["class"] and t["difficult"] and covered(one["box"], t["box"]) >= 0.5
        ]  # fmt: skip
        one["kind"], one["truth"] = None, None
        if free:
            best = max(iou(one["box"], t["box"]) for t in free)
            one["truth"] = [t for t in free if iou(one["box"], t["box"]) == best][-1]
            one["truth"]["found"], one["kind"] = True, "right"
        elif hard:
            one["kind"] = "uncounted"
    for one in detections:
        if one["kind"] is None:
            mine = [t for t in ground_truths if t["image"] == one["image"] and not t["difficult"]]
            name_error(one, mine)
            if one["kind"] in ("classification", "localisation"):
                one["truth"]["excused"] = True
    for each in ground_truths:
        each["missed"] = not (each["found"] or each["excused"] or each["difficult"])
    return ground_truths, detections


def name_error(one, mine):
    own = [(iou(one["box"], t["box"]), t) for t in mine if t["class"] == one["class"]]
    other = [(iou(one["box"], t["box"]), t) for t in mine if t["class"] != one["class"]]
    best_own = max(own, key=lambda pair: pair[0], default=(0, None))
    best_other = max(other, key=lambda pair: pair[0], default=(0, None))
    if 0.1 <= best_own[0] < 0.5:
        one["kind"], one["truth"] = "localisation", best_own[1]
    elif best_other[0] >= 0.5:
        one["kind"], one["truth"] = "classification", best_other[1]
    elif best_own[0] >= 0.5:
        one["kind"], one["truth"] = "duplicate", best_own[1]
    elif best_own[0] < 0.1 and best_other[0] < 0.1:
        one["kind"] = "background"
    else:
        one["kind"], one["truth"] = "both", best_other[1]


def mean_ap(rows, totals):
    """Return mAP with 101 points; rows: (class, true positive) by descending score; totals: ground truths per class."""
    values = []
    for label, total in totals.items():
        if total == 0:
            values.append(1.0)
            continue
        right, points = 0, []
        for seen, good in enumerate([good for which, good in rows if which == label], start=1):
            right += good
            points.append((right / total, right / seen))
        best = [max([p for r, p in points if r >= step * 0.01 - 1e-12], default=0) for step in range(101)]
        values.append(sum(best) / 101)
    return sum(values) / len(values)


def costs(ground_truth, found):
    """Return {kind: mAP without it}, and under None the mAP with all errors; {} without ground truth."""
    ground_truths, detections = sort_errors(ground_truth, found)
    plain = [t for t in ground_truths if not t["difficult"]]
    totals = {label: sum(t["class"] == label for t in plain) for label in {t["class"] for t in plain}}
    if not totals:
        return {}
    counted = [d for d in detections if d["kind"] != "uncounted"]
    result = {None: mean_ap([(d["class"], d["kind"] == "right") for d in counted], totals)}
    for kind in ("both", "duplicate", "background"):
        result[kind] = mean_ap([(d["class"], d["kind"] == "right") for d in counted if d["kind"] != kind], totals)
    for kind in ("classification", "localisation"):
        rows, fixed = [], []
        for d in counted:
            if d["kind"] != kind:
                rows.append((d["class"], d["kind"] == "right"))
            elif not d["truth"]["found"] and not any(d["truth"] is t for t in fixed):
                fixed.append(d["truth"])
                rows.append((d["truth"]["class"], True))
        result[kind] = mean_ap(rows, totals)
    rows = [(d["class"], d["kind"] == "right") for d in counted]
    for kind, gone in (("missed", "missed"), ("false negatives", None)):
        left = dict(totals)
        for t in plain:
            left[t["class"]] -= t["missed"] if gone else not t["found"]
        result[kind] = mean_ap(rows, left)
    result["false positives"] = mean_ap([row for row in rows if row[1]], totals)
    return result
