"""Slow and obvious versions of the core's arithmetic, one number at a time, to compare the fast versions with."""

import math

import numpy as np


def iou(first, second):
    """Intersection over union of two xyxy boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    first_area = (first[2] - first[0]) * (first[3] - first[1])
    second_area = (second[2] - second[0]) * (second[3] - second[1])
    return intersection / (first_area + second_area - intersection)


def distance_iou(first, second, exponent):
    """IoU - (squared distance of the centers / squared diagonal of the box around both) ** exponent."""
    across = (first[0] + first[2] - second[0] - second[2]) / 2
    down = (first[1] + first[3] - second[1] - second[3]) / 2
    width = max(first[2], second[2]) - min(first[0], second[0])
    height = max(first[3], second[3]) - min(first[1], second[1])
    return iou(first, second) - ((across**2 + down**2) / (width**2 + height**2)) ** exponent


def greedy_nms(boxes, scores, labels, thresh, overlap=iou):
    """Return the indices of the kept boxes, best first; a box is dropped if a better one of its class overlaps it."""
    kept = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        rivals = [other for other in kept if labels[other] == labels[index]]
        if all(overlap(boxes[index], boxes[other]) <= thresh for other in rivals):
            kept.append(index)
    return kept


def resized_pixel(plane, size, row, column):
    """Return the value at (row, column) of a plane `[H, W]` resized to `size`, bilinear with aligned corners."""
    height, width = plane.shape
    y = row * (height - 1) / (size[0] - 1)
    x = column * (width - 1) / (size[1] - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = plane[top, left] * (1 - across) + plane[top, right] * across
    lower = plane[below, left] * (1 - across) + plane[below, right] * across
    return upper * (1 - down) + lower * down


def maxpool(plane, size, stride, padding):
    """Darknet's pooling of a plane `[H, W]`; stride (vertical, horizontal); `padding` is the sum of both sides."""
    height, width = plane.shape
    rows = (height + padding - size) // stride[0] + 1
    columns = (width + padding - size) // stride[1] + 1
    pooled = np.full((rows, columns), -math.inf)
    for row in range(rows):
        for column in range(columns):
            for down in range(size):
                for across in range(size):
                    y = row * stride[0] - padding // 2 + down
                    x = column * stride[1] - padding // 2 + across
                    if 0 <= y < height and 0 <= x < width:
                        pooled[row, column] = max(pooled[row, column], plane[y, x])
    return pooled


def reorg(features, stride):
    """YOLOv2's [reorg] of a map `[C, H, W]`: for each value of the output, the place in the input it is taken from."""
    channels, height, width = features.shape
    shallow = channels // stride**2
    source, given = np.zeros(features.size), features.flatten()
    place = 0
    for channel in range(channels):
        for row in range(height):
            for column in range(width):
                block = channel // shallow
                x = column * stride + block % stride
                y = row * stride + block // stride
                source[place] = given[x + width * stride * (y + height * stride * (channel % shallow))]
                place += 1
    return source.reshape(channels * stride**2, height // stride, width // stride)


def corners(box):
    """cxcywh → xyxy of one box."""
    cx, cy, w, h = box
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def shape_iou(first, second):
    """IoU of two (width, height) with the same center."""
    return iou(corners((0, 0, *first)), corners((0, 0, *second)))


def logistic(value):
    return 1 / (1 + math.exp(-value))


def yolo_delta(raw, ground_truths, *, anchors, mask, classes, network, dialect, **options):
    """Darknet's delta of one image's [yolo] map, cell by cell: `[A, 5+classes, H, W]` in and out.

    ground truths: rows (class, cx, cy, w, h), 0..1; anchors: all (w, h) pairs in pixels; network: (width, height) in
    pixels;
    dialect: "pjreddie" or "alexeyab". Squared error of the box only. Source: darknet's yolo_layer.c, in its order.
    """
    head = _SlowHead(raw, anchors, mask, classes, network, dialect, options)
    for cell in np.ndindex(head.delta.shape[0], *raw.shape[2:]):
        head.every_cell(cell, ground_truths)
    for ground_truth in ground_truths:
        head.every_ground_truth(ground_truth)
    if head.iou_thresh < 1:
        head.average()
    return head.delta


class _SlowHead:
    """One image's map and its delta, like Darknet's layer struct."""

    def __init__(self, raw, anchors, mask, classes, network, dialect, options):
        self.raw, self.anchors, self.mask, self.classes = raw, anchors, mask, classes
        self.network = network
        self.height, self.width = raw.shape[2:]
        self.alexeyab = dialect == "alexeyab"
        self.ignore_thresh = options.get("ignore_thresh", 0.5)
        self.truth_thresh = options.get("truth_thresh", 1.0)
        self.iou_thresh = options.get("iou_thresh", 1.0) if self.alexeyab else 1.0
        self.box_factor = options.get("iou_normalizer", 0.75) if self.alexeyab else 1.0
        self.object_factor = options.get("obj_normalizer", 1.0) if self.alexeyab else 1.0
        self.smooth = options.get("label_smooth_eps", 0.0) if self.alexeyab else 0.0
        self.delta = np.zeros(raw.shape)

    def probability(self, cell, channel):
        anchor, row, column = cell
        return logistic(self.raw[anchor, channel, row, column])

    def box(self, cell):
        """The predicted cxcywh, 0..1."""
        anchor, row, column = cell
        width, height = self.anchors[self.mask[anchor]]
        return (
            (column + self.probability(cell, 0)) / self.width,
            (row + self.probability(cell, 1)) / self.height,
            math.exp(self.raw[anchor, 2, row, column]) * width / self.network[0],
            math.exp(self.raw[anchor, 3, row, column]) * height / self.network[1],
        )

    def every_cell(self, cell, ground_truths):
        anchor, row, column = cell
        overlaps = [iou(corners(self.box(cell)), corners(ground_truth[1:])) for ground_truth in ground_truths]
        best = max(overlaps, default=0.0)
        objectness = self.probability(cell, 4)
        confident = any(self.probability(cell, 5 + c) > 0.25 for c in range(self.classes))
        ignored = best > self.ignore_thresh and (confident or not self.alexeyab)
        self.delta[anchor, 4, row, column] = 0 if ignored else self.object_factor * -objectness
        if best > self.truth_thresh:
            ground_truth = ground_truths[overlaps.index(best)]
            self.positive(cell, ground_truth, self.mask[anchor])

    def every_ground_truth(self, ground_truth):
        _, cx, cy, w, h = ground_truth
        cell_of = (
            min(int(cy * self.height), self.height - 1),
            min(int(cx * self.width), self.width - 1),
        )
        shapes = [(aw / self.network[0], ah / self.network[1]) for aw, ah in self.anchors]
        fits = [shape_iou((w, h), shape) for shape in shapes]
        best = fits.index(max(fits))
        if best in self.mask:
            self.positive((self.mask.index(best), *cell_of), ground_truth, best)
        for number, fit in enumerate(fits):
            if number != best and number in self.mask and fit > self.iou_thresh:
                self.positive((self.mask.index(number), *cell_of), ground_truth, number)

    def positive(self, cell, ground_truth, number):
        """Make this cell responsible for this ground truth, with anchor `number`."""
        anchor, row, column = cell
        label, cx, cy, w, h = ground_truth
        aw, ah = self.anchors[number]
        target = (
            cx * self.width - column,
            cy * self.height - row,
            math.log(w * self.network[0] / aw),
            math.log(h * self.network[1] / ah),
        )
        predicted = (
            self.probability(cell, 0),
            self.probability(cell, 1),
            self.raw[anchor, 2, row, column],
            self.raw[anchor, 3, row, column],
        )
        for channel in range(4):
            change = self.box_factor * (2 - w * h) * (target[channel] - predicted[channel])
            before = self.delta[anchor, channel, row, column] if self.alexeyab else 0
            self.delta[anchor, channel, row, column] = before + change
        self.delta[anchor, 4, row, column] = self.object_factor * (1 - self.probability(cell, 4))
        self.class_delta(cell, label)

    def class_delta(self, cell, label):
        anchor, row, column = cell
        # a delta that is not 0 means that the cell has a ground truth already
        checked = label if self.alexeyab else 0
        if self.delta[anchor, 5 + checked, row, column]:
            target = 1 - 0.5 * self.smooth
            self.delta[anchor, 5 + label, row, column] = target - self.probability(cell, 5 + label)
            return
        for c in range(self.classes):
            target = (c == label) * (1 - self.smooth) + 0.5 * self.smooth
            self.delta[anchor, 5 + c, row, column] = target - self.probability(cell, 5 + c)

    def average(self):
        """Divide the box delta of a cell by the number of classes with a positive delta."""
        for anchor, row, column in np.ndindex(self.delta.shape[0], *self.delta.shape[2:]):
            more = sum(self.delta[anchor, 5:, row, column] > 0)
            if more:
                self.delta[anchor, :4, row, column] /= more
