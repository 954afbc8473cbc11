"""AlexeyAB's box gradient (box.c dx_box_iou), one side of one box at a time: the reference of the fast version."""

import math


def box_gradient(kind, box, ground_truth):
    """(dx, dy, dw, dh) of one predicted cxcywh box against one ground truth; kind: "iou", "giou", "diou" or "ciou".

    Raises ZeroDivisionError where C would give inf or nan.
    """
    x, y, w, h = box
    w, h = w or 1.0, h or 1.0  # delta_yolo_box gives a box without width or height one of 1
    left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
    tx, ty, tw, th = ground_truth
    t_left, t_right, t_top, t_bottom = tx - tw / 2, tx + tw / 2, ty - th / 2, ty + th / 2

    across = min(right, t_right) - max(left, t_left)  # negative where the boxes are apart
    down = min(bottom, t_bottom) - max(top, t_top)
    shared = across * down
    union = (right - left) * (bottom - top) + (t_right - t_left) * (t_bottom - t_top) - shared
    apart = across <= 0 or down <= 0

    # how intersection and union change when one of our sides moves
    shared_by = {
        "left": -down if left > t_left else 0,
        "right": down if right < t_right else 0,
        "top": -across if top > t_top else 0,
        "bottom": across if bottom < t_bottom else 0,
    }
    area_by = {
        "left": -(bottom - top),
        "right": bottom - top,
        "top": -(right - left),
        "bottom": right - left,
    }
    union_by = {side: area_by[side] - shared_by[side] for side in area_by}
    by_side = {side: 0.0 for side in area_by}
    if union > 0:
        for side in by_side:
            by_side[side] = (union * shared_by[side] - shared * union_by[side]) / union**2

    hull_across = max(right, t_right) - min(left, t_left)
    hull_down = max(bottom, t_bottom) - min(top, t_top)
    hull = hull_across * hull_down
    if kind == "giou":
        hull_by = {
            "left": -hull_down if left < t_left else 0,
            "right": hull_down if right > t_right else 0,
            "top": -hull_across if top < t_top else 0,
            "bottom": hull_across if bottom > t_bottom else 0,
        }
        for side in by_side:
            term = (hull * union_by[side] - union * hull_by[side]) / hull**2
            by_side[side] = term if apart else by_side[side] + term

    gradient = [
        by_side["left"] + by_side["right"],
        by_side["top"] + by_side["bottom"],
        by_side["right"] - by_side["left"],  # not halved
        by_side["bottom"] - by_side["top"],
    ]
    if kind in ("diou", "ciou"):
        terms = _distance_terms(
            box, ground_truth, (left, right, top, bottom), (hull_across, hull_down)
        )
        if kind == "ciou":
            for index, term in zip(
                (2, 3), _aspect_terms((w, h), ground_truth, shared / union), strict=True
            ):
                terms[index] += term
        gradient = [term if apart else s + term for s, term in zip(gradient, terms, strict=True)]
    return gradient


def _distance_terms(box, ground_truth, sides, hull):
    """What DIoU adds; the center's part of the hull has the sign that Darknet gives it."""
    left, right, top, bottom = sides
    x, y = box[:2]
    tx, ty, tw, th = ground_truth
    distance = (x - tx) ** 2 + (y - ty) ** 2
    diagonal = hull[0] ** 2 + hull[1] ** 2
    reaches = {
        "left": int(left < tx - tw / 2),
        "right": int(right > tx + tw / 2),
        "top": int(top < ty - th / 2),
        "bottom": int(bottom > ty + th / 2),
    }
    by_x = 2 * hull[0] * (reaches["right"] - reaches["left"])
    by_y = 2 * hull[1] * (reaches["bottom"] - reaches["top"])
    by_w = 2 * hull[0] * 0.5 * (reaches["right"] + reaches["left"])
    by_h = 2 * hull[1] * 0.5 * (reaches["bottom"] + reaches["top"])
    return [
        (2 * (tx - x) * diagonal - by_x * distance) / diagonal**2,
        (2 * (ty - y) * diagonal - by_y * distance) / diagonal**2,
        by_w * distance / diagonal**2,
        by_h * distance / diagonal**2,
    ]


def _aspect_terms(size, ground_truth, iou):
    """What CIoU adds to dw and dh; `iou` is the formula's, which may be negative."""
    w, h = size
    turn = math.atan(ground_truth[2] / ground_truth[3]) - math.atan(w / h)
    aspect = 4 / math.pi**2 * turn**2
    alpha = aspect / (1 - iou + aspect + 0.000001)
    return alpha * 8 / math.pi**2 * turn * h, -alpha * 8 / math.pi**2 * turn * w
