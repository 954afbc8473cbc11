"""Darknet's delta of a [region], cell by cell, slow and simple (region_layer.c)."""

import itertools
import math

import numpy as np

from tests.helpers.slow_core import corners, iou, logistic, shape_iou

TREE = "animal -1\nthing -1\ncat 0\ndog 0\ncar 1\nsiamese 2\npersian 2\n"
PARENTS = [-1, -1, 0, 0, 1, 2, 2]  # of the classes of that tree, the only one supported here


def probabilities(head, logits):
    """Return the class probabilities of one cell; in a tree those given the parent."""
    if head.tree is None and not head.softmax:
        return [logistic(value) for value in logits]
    groups = PARENTS if head.tree is not None else [-1] * len(logits)
    sums = {group: sum(math.exp(v) for v, g in zip(logits, groups, strict=True) if g == group) for group in groups}
    return [math.exp(v) / sums[g] for v, g in zip(logits, groups, strict=True)]


def write_classes(head, settings, dialect, probs, delta, label, scale):
    """Write the class deltas of a ground truth into its cell (delta_region_class)."""
    if head.tree is not None:
        while label >= 0:
            for other, parent in enumerate(PARENTS):
                if parent == PARENTS[label]:
                    delta[other] = scale * ((other == label) - probs[other])
            label = PARENTS[label]
        return
    if dialect == "pjreddie" and not head.softmax and delta[0] != 0:
        delta[label] = scale * (1 - probs[label])
        return
    if dialect == "alexeyab" and settings.focal_loss:
        p = probs[label] + 1e-15
        scale *= 0.5 * -(1 - p) * (2 * p * math.log(p) + p - 1)
    for other, p in enumerate(probs):
        delta[other] = scale * ((other == label) - p)


def slow_delta(head, settings, dialect, seen, raw, ground_truths):
    """Return Darknet's delta of one image's raw values, both `[A, 5+classes, H, W]`; ground_truths: (label, x, y, w,
    h).

    Also return the IoU of each ground truth and the number of ignored cells.
    """
    scales, new = settings.scales, dialect == "alexeyab"
    anchors, _, height, width = raw.shape
    delta, ignored = np.zeros_like(raw), 0

    def box(n, j, i):
        x, y, w, h = raw[n, :4, j, i]
        w, h = (math.exp(v) * a for v, a in zip((w, h), head.anchors[n].tolist(), strict=True))
        return (i + logistic(x)) / width, (j + logistic(y)) / height, w / width, h / height

    def write_box(n, j, i, ground_truth, scale):
        x, y = (logistic(value) for value in raw[n, :2, j, i])
        prior = head.anchors[n].tolist()
        delta[n, 0, j, i] = scale * (ground_truth[0] * width - i - x) * x * (1 - x)
        delta[n, 1, j, i] = scale * (ground_truth[1] * height - j - y) * y * (1 - y)
        delta[n, 2, j, i] = scale * (math.log(ground_truth[2] * width / prior[0]) - raw[n, 2, j, i])
        delta[n, 3, j, i] = scale * (math.log(ground_truth[3] * height / prior[1]) - raw[n, 3, j, i])
        return iou(corners(box(n, j, i)), corners(ground_truth))

    for n, j, i in itertools.product(range(anchors), range(height), range(width)):
        o = logistic(raw[n, 4, j, i])
        overlaps = [iou(corners(box(n, j, i)), corners(ground_truth[1:])) for ground_truth in ground_truths]
        best = max(overlaps, default=0.0)
        delta[n, 4, j, i] = scales.noobject_scale * (0 - o) * o * (1 - o)
        if new and settings.classfix == -1:
            delta[n, 4, j, i] = scales.noobject_scale * (best - o) * o * (1 - o)
        elif best > settings.thresh:
            ignored += 1
            delta[n, 4, j, i] = 0
            if new and settings.classfix > 0:
                scale = scales.class_scale * (o if settings.classfix == 2 else 1)
                probs = probabilities(head, raw[n, 5:, j, i])
                label = ground_truths[overlaps.index(best)][0]
                write_classes(head, settings, dialect, probs, delta[n, 5:, j, i], label, scale)
        if seen < 12_800:
            w, h = head.anchors[n].tolist()
            prior = ((i + 0.5) / width, (j + 0.5) / height, w / width, h / height)
            write_box(n, j, i, prior, 0.01)
    ious = []
    for label, *ground_truth in ground_truths:
        i, j = int(ground_truth[0] * width), int(ground_truth[1] * height)
        shapes = [box(n, j, i)[2:] for n in range(anchors)]
        if settings.bias_match:
            shapes = [(w / width, h / height) for w, h in head.anchors.tolist()]
        fits = [shape_iou(shape, ground_truth[2:]) for shape in shapes]
        n = fits.index(max(fits))
        small = 1 if new else 2 - ground_truth[2] * ground_truth[3]
        ious.append(write_box(n, j, i, ground_truth, scales.coord_scale * small))
        o = logistic(raw[n, 4, j, i])
        target = ious[-1] if scales.rescore else 1
        delta[n, 4, j, i] = scales.object_scale * (target - o) * o * (1 - o)
        probs = probabilities(head, raw[n, 5:, j, i])
        write_classes(head, settings, dialect, probs, delta[n, 5:, j, i], label, scales.class_scale)
    return delta, ious, ignored
