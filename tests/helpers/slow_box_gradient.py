"""AlexeyAB's box gradient (box.c dx_box_iou), one side of one box at a time: the reference of the fast version."""

import math


def box_gradient(kind, box, ground_truth):
    """Return (dx, dy, dw, dh) of a predicted cxcywh box and a ground truth; kind: "iou", "giou", "diou" or "ciou".

    Raises ZeroDivisionError where C would give inf or nan.
    """
    x, y, w, h = box
    w, h = w or 1.0, h or 1.0  # delta_yolo_box replaces a width or height of 0 by 1
    left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
    tx, ty, tw, th = ground_truth
    t_left, t_right, t_top, t_bottom = tx - tw / 2, tx + tw / 2, ty - th / 2, ty + th / 2

    width = min(right, t_right) - max(left, t_left)  # negative if the boxes are disjoint
    height = min(bottom, t_bottom) - max(top, t_top)
    intersection = width * height
    union = (right - left) * (bottom - top) + (t_right - t_left) * (t_bottom - t_top) - intersection
    disjoint = width <= 0 or height <= 0

    # derivatives of intersection and union for the sides of the predicted box
    intersection_by = {
        "left": -height if left > t_left else 0,
        "right": height if right < t_right else 0,
        "top": -width if top > t_top else 0,
        "bottom": width if bottom < t_bottom else 0,
    }
    area_by = {
        "left": -(bottom - top),
        "right": bottom - top,
        "top": -(right - left),
        "bottom": right - left,
    }
    union_by = {side: area_by[side] - intersection_by[side] for side in area_by}
    by_side = {side: 0.0 for side in area_by}
    if union > 0:
        for side in by_side:
            by_side[side] = (union * intersection_by[side] - intersection * union_by[side]) / union**2

    enclosing_width = max(right, t_right) - min(left, t_left)
    enclosing_height = max(bottom, t_bottom) - min(top, t_top)
    enclosing = enclosing_width * enclosing_height
    if kind == "giou":
        enclosing_by = {
            "left": -enclosing_height if left < t_left else 0,
            "right": enclosing_height if right > t_right else 0,
            "top": -enclosing_width if top < t_top else 0,
            "bottom": enclosing_width if bottom > t_bottom else 0,
        }
        for side in by_side:
            term = (enclosing * union_by[side] - union * enclosing_by[side]) / enclosing**2
            by_side[side] = term if disjoint else by_side[side] + term

    gradient = [
        by_side["left"] + by_side["right"],
        by_side["top"] + by_side["bottom"],
        by_side["right"] - by_side["left"],  # not halved
        by_side["bottom"] - by_side["top"],
    ]
    if kind in ("diou", "ciou"):
        terms = _distance_terms(box, ground_truth, (left, right, top, bottom), (enclosing_width, enclosing_height))
        if kind == "ciou":
            for index, term in zip((2, 3), _aspect_terms((w, h), ground_truth, intersection / union), strict=True):
                terms[index] += term
        gradient = [term if disjoint else s + term for s, term in zip(gradient, terms, strict=True)]
    return gradient


def _distance_terms(box, ground_truth, sides, enclosing):
    """Return the terms that DIoU adds, with Darknet's sign of the enclosing box's growth with the center."""
    left, right, top, bottom = sides
    x, y = box[:2]
    tx, ty, tw, th = ground_truth
    distance = (x - tx) ** 2 + (y - ty) ** 2
    diagonal = enclosing[0] ** 2 + enclosing[1] ** 2
    reaches = {
        "left": int(left < tx - tw / 2),
        "right": int(right > tx + tw / 2),
        "top": int(top < ty - th / 2),
        "bottom": int(bottom > ty + th / 2),
    }
    by_x = 2 * enclosing[0] * (reaches["right"] - reaches["left"])
    by_y = 2 * enclosing[1] * (reaches["bottom"] - reaches["top"])
    by_w = 2 * enclosing[0] * 0.5 * (reaches["right"] + reaches["left"])
    by_h = 2 * enclosing[1] * 0.5 * (reaches["bottom"] + reaches["top"])
    return [
        (2 * (tx - x) * diagonal - by_x * distance) / diagonal**2,
        (2 * (ty - y) * diagonal - by_y * distance) / diagonal**2,
        by_w * distance / diagonal**2,
        by_h * distance / diagonal**2,
    ]


def _aspect_terms(size, ground_truth, iou):
    """Return what CIoU adds to dw and dh; `iou` may be negative, as in the formula."""
    w, h = size
    difference = math.atan(ground_truth[2] / ground_truth[3]) - math.atan(w / h)
    aspect = 4 / math.pi**2 * difference**2
    alpha = aspect / (1 - iou + aspect + 0.000001)
    return alpha * 8 / math.pi**2 * difference * h, -alpha * 8 / math.pi**2 * difference * w
