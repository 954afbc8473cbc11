"""AlexeyAB's [Gaussian_yolo] delta cell by cell and ground truth by ground truth, in the order of
gaussian_yolo_layer.c."""

import math
from dataclasses import dataclass, field

import numpy as np

from tests.helpers.slow_box_gradient import box_gradient
from tests.helpers.slow_core import corners, iou, logistic, shape_iou

MEANS, SIGMAS = (0, 2, 4, 6), (1, 3, 5, 7)  # channels of x, y, w, h and of their uncertainties
OBJECT, CLASS = 8, 9
POINTS = {
    "center": 0,
    "left_top": -1,
    "right_bottom": 1,
}  # from the center to the point, in half sizes


@dataclass(frozen=True)
class Keys:
    """The keys of the section that the layer reads, with their defaults."""

    ignore_thresh: float = 0.5
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0
    iou_loss: str = "mse"
    iou_normalizer: float = 0.75
    uc_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    label_smooth_eps: float = 0.0
    max_delta: float = math.inf
    scale_x_y: float = 1.0
    yolo_point: str = "center"
    multipliers: tuple = field(default=())


def gaussian_delta(raw, ground_truths, *, anchors, mask, classes, network, keys):
    """Darknet's delta of one image's map, `[A, 9+classes, H, W]` in and out (forward_gaussian_yolo_layer).

    ground truths: rows (class, cx, cy, w, h), 0..1; anchors: all (w, h) pairs in pixels; network: (width, height) in
    pixels.
    """
    head = _SlowGaussianHead(raw, anchors, mask, classes, network, keys)
    for cell in np.ndindex(len(mask), *raw.shape[2:]):
        head.every_cell(cell, ground_truths)
    for ground_truth in ground_truths:
        head.every_ground_truth(ground_truth)
    head.average()
    return head.delta


class _SlowGaussianHead:
    """One image's activated map while its delta is written, as Darknet's layer struct is."""

    def __init__(self, raw, anchors, mask, classes, network, keys):
        self.anchors, self.mask, self.classes = anchors, mask, classes
        self.network, self.keys = network, keys
        self.height, self.width = raw.shape[2:]
        self.output = np.array(raw, np.float64)
        for place in np.ndindex(raw.shape):
            channel = place[1]
            if channel not in (4, 6):  # w and h stay raw
                self.output[place] = logistic(raw[place])
            if channel in (0, 2):
                s = keys.scale_x_y
                self.output[place] = self.output[place] * s - 0.5 * (s - 1)
        self.delta = np.zeros(raw.shape)

    def at(self, cell, channel):
        anchor, row, column = cell
        return anchor, channel, row, column

    def box(self, cell, number):
        """get_gaussian_yolo_box: cxcywh, 0..1."""
        _, row, column = cell
        x, y, w, h = (self.output[self.at(cell, channel)] for channel in MEANS)
        w = math.exp(w) * self.anchors[number][0] / self.network[0]
        h = math.exp(h) * self.anchors[number][1] / self.network[1]
        side = POINTS[self.keys.yolo_point]
        return (
            (column + x) / self.width - side * w / 2,
            (row + y) / self.height - side * h / 2,
            w,
            h,
        )

    def multiplier(self, label):
        return self.keys.multipliers[label] if self.keys.multipliers else 1.0

    def every_cell(self, cell, ground_truths):
        box = self.box(cell, self.mask[cell[0]])
        overlaps = [iou(corners(box), corners(ground_truth[1:])) for ground_truth in ground_truths]
        best = max(overlaps, default=0.0)
        has_class = any(self.output[self.at(cell, CLASS + c)] > 0.25 for c in range(self.classes))
        objectness = self.output[self.at(cell, OBJECT)]
        ignored = has_class and best > self.keys.ignore_thresh
        self.delta[self.at(cell, OBJECT)] = 0 if ignored else -self.keys.cls_normalizer * objectness
        if best > self.keys.truth_thresh:
            ground_truth = ground_truths[overlaps.index(best)]
            self.delta[self.at(cell, OBJECT)] = self.keys.cls_normalizer * (1 - objectness)
            self.classify(cell, ground_truth[0])
            self.fit(cell, ground_truth, self.mask[cell[0]])

    def every_ground_truth(self, ground_truth):
        _, cx, cy, w, h = ground_truth
        side = POINTS[self.keys.yolo_point]
        column = min(max(int((cx + side * w / 2) * self.width), 0), self.width - 1)
        row = min(max(int((cy + side * h / 2) * self.height), 0), self.height - 1)
        shapes = [(aw / self.network[0], ah / self.network[1]) for aw, ah in self.anchors]
        fits = [shape_iou((w, h), shape) for shape in shapes]
        best = fits.index(max(fits))
        if best in self.mask:
            self.positive((self.mask.index(best), row, column), ground_truth, best)
        for number, fit in enumerate(fits):
            above = self.keys.iou_thresh < 1 and fit > self.keys.iou_thresh
            if number != best and number in self.mask and above:
                self.positive((self.mask.index(number), row, column), ground_truth, number)

    def positive(self, cell, ground_truth, number):
        self.fit(cell, ground_truth, number)
        factor = self.multiplier(ground_truth[0]) * self.keys.cls_normalizer
        self.delta[self.at(cell, OBJECT)] = factor * (1 - self.output[self.at(cell, OBJECT)])
        self.classify(cell, ground_truth[0])

    def fit(self, cell, ground_truth, number):
        """delta_gaussian_yolo_box, accumulating."""
        deltas, sigma_deltas = self.likely(cell, ground_truth, number)
        if self.keys.iou_loss != "mse":
            deltas = self.overlapping(cell, ground_truth, number)
        factor = self.keys.iou_normalizer * self.multiplier(ground_truth[0])
        for channel, value in zip(MEANS, deltas, strict=True):
            self.add(cell, channel, factor * value)
        for channel, value in zip(SIGMAS, sigma_deltas, strict=True):
            self.add(cell, channel, self.keys.uc_normalizer * value)

    def add(self, cell, channel, value):
        if not math.isfinite(value):
            value = 0
        most = self.keys.max_delta
        self.delta[self.at(cell, channel)] += max(-most, min(most, value))

    def likely(self, cell, ground_truth, number):
        """The deltas of x, y, w, h and of their uncertainties under a normal distribution."""
        _, row, column = cell
        _, cx, cy, w, h = ground_truth
        side = POINTS[self.keys.yolo_point]
        targets = (
            (cx + side * w / 2) * self.width - column,
            (cy + side * h / 2) * self.height - row,
            math.log(w * self.network[0] / self.anchors[number][0]) if w else -math.inf,
            math.log(h * self.network[1] / self.anchors[number][1]) if h else -math.inf,
        )
        deltas, sigma_deltas = [], []
        for mean_channel, sigma_channel, target in zip(MEANS, SIGMAS, targets, strict=True):
            sigma = float(self.output[self.at(cell, sigma_channel)])
            off = (target - float(self.output[self.at(cell, mean_channel)])) / sigma
            density = math.exp(-0.5 * off**2) / (math.sqrt(2 * math.pi) * (sigma + 0.3))
            factor = 0.5 * density / (density + 1e-9) * (2 - w * h)
            deltas.append(factor * off / sigma)
            sigma_deltas.append(factor * (off**2 / sigma - 1 / (sigma + 0.3)))
        return deltas, sigma_deltas

    def overlapping(self, cell, ground_truth, number):
        """The deltas of x, y, w, h of an iou_loss."""
        box = self.box(cell, number)
        dx, dy, dw, dh = box_gradient(self.keys.iou_loss, box, ground_truth[1:])
        side = POINTS[self.keys.yolo_point]
        dx, dy = dx + side * dw / 2, dy + side * dh / 2
        w, h = self.output[self.at(cell, 4)], self.output[self.at(cell, 6)]
        return dx, dy, dw * math.exp(w), dh * math.exp(h)

    def classify(self, cell, label):
        """delta_gaussian_yolo_class: a delta of the first class that is not 0 means the cell has a ground truth
        already."""
        smooth, factor = self.keys.label_smooth_eps, self.multiplier(label)
        if self.delta[self.at(cell, CLASS)]:
            slot = self.at(cell, CLASS + label)
            self.delta[slot] = factor * (1 - 0.5 * smooth - self.output[slot])
            return
        for c in range(self.classes):
            slot = self.at(cell, CLASS + c)
            target = (c == label) * (1 - smooth) + 0.5 * smooth
            self.delta[slot] = (factor if c == label else 1) * (target - self.output[slot])

    def average(self):
        """averages_gaussian_yolo_deltas: the box delta is divided by the number of classes whose delta is positive."""
        for anchor, row, column in np.ndindex(len(self.mask), self.height, self.width):
            more = (self.delta[anchor, CLASS:, row, column] > 0).sum()
            if more:
                self.delta[anchor, :OBJECT, row, column] /= more
