"""yolo.train.losses.yolov1: its gradient is the delta of compiled Darknet, and of one written cell by cell.

Expected: pjreddie's Darknet (tests/golden/early_losses.npz; see its README), `slow_delta` below, which follows
detection_layer.c and data.c fill_truth_region with plain numbers, or a calculation by hand.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.recorded_heads import head_deltas, one_target, recorded_losses, recorded_targets
from tests.helpers.slow_core import corners, iou
from yolo.model.heads.region import ErrorScales
from yolo.model.heads.yolov1 import YoloV1Head, YoloV1Settings
from yolo.records import Targets
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.yolov1 import yolov1_terms

CASES = [
    "detection_forced",
    "detection_late",
    "detection_plain",
    "detection_rescore",
    "detection_softmax",
    "detection_sqrt",
]
LATE = 64_000
SIDE, CLASSES = 3, 4
SETTINGS = YoloV1Settings(
    max_boxes=30,
    jitter=0.0,
    resize=1.0,
    random=0.0,
    scales=ErrorScales(5.0, 1.2, 0.5, 1.4, rescore=False),
    forced=False,
)
deltas = partial(head_deltas, yolov1_terms, seen=LATE)


# ---------------------------------------------------------------------------------------------- recorded by Darknet


@pytest.fixture(scope="module")
def recorded(project):
    return recorded_losses(project, "detection")


def test_every_recorded_case_is_tested(recorded):
    assert sorted({key.partition("/")[0] for key in recorded}) == CASES


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_compiled_darknets_deltas(recorded, case):
    network = network_of(str(recorded[f"{case}/cfg"]))
    targets = recorded_targets(recorded, case)
    raw = recorded[f"{case}/raw"]
    # Darknet adds a batch to `seen` before it looks; what is recorded is what it saw
    seen = int(recorded[f"{case}/seen"]) - len(raw)
    _, delta = deltas(network.layers[1], network.head_settings[0], raw, targets, seen=seen)
    assert delta.abs().max() > 1
    torch.testing.assert_close(delta, torch.from_numpy(recorded[f"{case}/delta"]), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ cell by cell


def slow_delta(head, settings, smallest, values, ground_truths):
    """Darknet's delta of one image's values `[side²*(classes + 5*boxes)]`; ground truths: (label, x, y, w, h).

    Returns it with the IoU of each cell's ground truth.
    """
    side, scales, cells = head.side, settings.scales, head.side**2
    delta, ious, grid = np.zeros_like(values), [], {}
    for label, x, y, w, h in ground_truths:
        if w >= smallest and h >= smallest:
            grid.setdefault(int(y * side) * side + int(x * side), (label, x, y, w, h))
    for cell in range(cells):
        first = cells * head.classes + cell * head.boxes
        for p in range(first, first + head.boxes):
            delta[p] = scales.noobject_scale * (0 - values[p])
        if cell not in grid:
            continue
        label, x, y, w, h = grid[cell]
        x, y = x * side - cell % side, y * side - cell // side
        probs = values[cell * head.classes : (cell + 1) * head.classes]
        if head.softmax:
            probs = np.exp(probs) / np.exp(probs).sum()
        for c in range(head.classes):
            delta[cell * head.classes + c] = scales.class_scale * ((c == label) - probs[c])
        ground_truth = (x / side, y / side, w, h)
        at = cells * (head.classes + head.boxes) + cell * head.boxes * 4
        best, best_overlap, best_distance, overlaps = 0, 0.0, 20.0, []
        for number in range(head.boxes):
            out = values[at + 4 * number : at + 4 * number + 4].tolist()
            shape = [v * v for v in out[2:]] if head.squared else out[2:]
            out = (out[0] / side, out[1] / side, *shape)
            overlaps.append(iou(corners(out), corners(ground_truth)))
            distance = math.dist(out, ground_truth)
            if best_overlap > 0 or overlaps[-1] > 0:
                if overlaps[-1] > best_overlap:
                    best, best_overlap = number, overlaps[-1]
            elif distance < best_distance:
                best, best_distance = number, distance
        if settings.forced:
            best = 1 if w * h < 0.1 else 0
        ious.append(overlaps[best])
        target = overlaps[best] if scales.rescore else 1
        delta[first + best] = scales.object_scale * (target - values[first + best])
        box = (x, y, math.sqrt(w), math.sqrt(h)) if head.squared else (x, y, w, h)
        for k in range(4):
            p = at + 4 * best + k
            delta[p] = scales.coord_scale * (box[k] - values[p])
    return delta, ious


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("rescore", "forced"), [(False, False), (True, False), (True, True)])
def test_gradients_are_the_cell_by_cell_deltas(dialect, softmax, squared, rescore, forced):
    generator, images, boxes = np.random.default_rng(0), 4, 3
    head = YoloV1Head(side=SIDE, boxes=boxes, classes=CLASSES, squared=squared, softmax=softmax)
    scales = replace(SETTINGS.scales, rescore=rescore)
    settings = replace(SETTINGS, scales=scales, forced=forced)
    raw = generator.uniform(-0.3, 0.9, (images, SIDE**2 * (CLASSES + 5 * boxes), 1, 1))
    table = np.concatenate(  # twelve ground truths for nine cells; sides from .001 to .7, some between .001 and .005
        [
            np.column_stack((
                np.full(12, image),
                generator.integers(CLASSES, size=12),
                generator.uniform(0, 0.99, (12, 2)),
                generator.choice([0.0005, 0.002, 0.3, 0.5, 0.7], (12, 2), p=[0.1, 0.2, 0.3, 0.2, 0.2]),
            ))
            for image in range(images - 1)  # none in the last image
        ]
    )  # fmt: skip
    columns = torch.from_numpy(table)
    targets = Targets(columns[:, 0].long(), columns[:, 1].long(), columns[:, 2:].float())
    found, delta = deltas(head, settings, raw.astype(np.float32), targets, dialect=dialect)
    smallest, ious = 0.005 if dialect == "pjreddie" else 0.001, []
    for image in range(images):
        ground_truths = [(int(row[1]), *row[2:]) for row in table if row[0] == image]
        slow, overlaps = slow_delta(head, settings, smallest, raw[image].ravel(), ground_truths)
        np.testing.assert_allclose(delta[image].ravel().numpy(), slow, rtol=1e-4, atol=1e-5)
        ious += overlaps
    np.testing.assert_allclose(found.ious.numpy(), ious, atol=1e-5)
    assert (found.cells, found.ignored) == (images * SIDE**2 * boxes, 0)


# ------------------------------------------------------------------------------------------------------------ by hand


def head_of(boxes):
    return YoloV1Head(side=2, boxes=boxes, classes=3, squared=False, softmax=False)


def objectness_of(delta, boxes):
    """`[cells, boxes]` of an image before a head of two cells a side and three classes."""
    return delta.flatten()[12 : 12 + 4 * boxes].view(4, boxes)


def test_without_a_ground_truth_every_box_learns_objectness_0_only():
    none = Targets(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4))
    found, delta = deltas(head_of(2), SETTINGS, torch.ones(1, 4 * 13, 1, 1), none)
    assert objectness_of(delta, 2).flatten().tolist() == [-0.5] * 8
    assert delta.count_nonzero() == 8
    assert (found.box, found.classification, len(found.ious)) == (0, 0, 0)


def test_a_center_on_the_far_border_belongs_to_the_last_cell():
    raw = torch.zeros(1, 4 * 13, 1, 1)
    found, delta = deltas(head_of(2), SETTINGS, raw, one_target(2, 1.0, 1.0, 0.5, 0.5))
    assert delta.flatten()[:12].tolist() == pytest.approx([0] * 11 + [1.4])
    assert objectness_of(delta, 2)[3].tolist() == pytest.approx([1.2, 0])
    assert delta.flatten()[-8:].tolist() == pytest.approx([5, 5, 2.5, 2.5, 0, 0, 0, 0])
    assert found.ious.tolist() == [0]


@pytest.mark.parametrize(("side", "boxes", "box"), [(0.3, 2, 1), (0.4, 2, 0), (0.3, 1, 0)])
def test_forced_sends_small_ground_truths_to_the_second_box_where_there_is_one(side, boxes, box):
    forced = replace(SETTINGS, forced=True)
    raw = torch.zeros(1, 4 * (3 + 5 * boxes), 1, 1)
    _, delta = deltas(head_of(boxes), forced, raw, one_target(0, 0.2, 0.2, side, side))
    assert objectness_of(delta, boxes).nonzero().tolist() == [[0, box]]


def test_random_chooses_a_box_at_random_until_64000_images():
    chance, raw = replace(SETTINGS, random=1.0), torch.zeros(1, 4 * 13, 1, 1)

    def boxes_chosen(seen):
        return {
            objectness_of(deltas(head_of(2), chance, raw, ground_truth, seen=seen)[1], 2)[0].argmax().item()
            for ground_truth in [one_target(0, 0.2, 0.2, 0.3, 0.3)] * 20
        }

    assert boxes_chosen(63_998) == {0, 1}
    assert boxes_chosen(63_999) == {0}  # of two equally far ones the first


def test_detection_loss_takes_the_head_and_a_map_of_channels():
    text = "[net]\nheight=2\nwidth=2\nchannels=13\n[activation]\nactivation=linear\n"
    text += "[detection]\nside=2\nnum=2\nclasses=3\ncoords=4\nrescore=1\n"
    network = network_of(text)
    raw, targets = torch.rand(2, 13, 2, 2), one_target(1, 0.4, 0.4, 0.3, 0.3)
    alone, _ = deltas(network.layers[1], network.head_settings[0], raw, targets)
    found = DetectionLoss(network, "pjreddie")([raw], targets)
    total = (alone.box + alone.objectness + alone.classification).item()
    assert found.total.item() == pytest.approx(total / 2, rel=1e-6)
    assert found.assigned == 1
