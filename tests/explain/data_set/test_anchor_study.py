"""Boxes against anchors: framing, heads, collisions and smallness, by hand and against slow versions."""

import numpy as np
import pytest
import torch

from yolo.boxes import cxcywh_to_xyxy, paired_iou
from yolo.data.anchors import HeadAnchors, fit_of
from yolo.explain.data_set.advice import anchor_advice
from yolo.explain.data_set.anchor_study import responsible_heads, same_cells, same_predictions, smallness, study_anchors
from yolo.explain.data_set.framing import AnchorGrid, framing_iou, lesson_grids, shape_iou_of

ANCHORS = np.array([(10, 12), (20, 30), (40, 36), (90, 80)], float)
HEADS = (HeadAnchors(5, ANCHORS, (2, 3), 32), HeadAnchors(9, ANCHORS, (0, 1), 16))
SIZE = (96, 128)  # (height, width)


def boxes_of(count, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.random((count, 2)) * (SIZE[1], SIZE[0])
    return np.concatenate((centers, np.exp(rng.normal(3, 0.8, (count, 2)))), axis=1)


def slow_framing(box, grids):
    """The IoU with every anchor box at every cell."""
    best = 0.0
    for grid in grids:
        for row in range(grid.rows):
            for column in range(grid.columns):
                x, y = (column + 0.5) * SIZE[1] / grid.columns, (row + 0.5) * SIZE[0] / grid.rows
                for width, height in grid.anchors:
                    pair = torch.tensor(np.array([box, (x, y, width, height)]))
                    best = max(best, float(paired_iou(*cxcywh_to_xyxy(pair))))
    return best


def test_framing_is_the_best_of_all_anchor_boxes():
    grids = [AnchorGrid(ANCHORS[:2], 3, 4), AnchorGrid(ANCHORS[2:], 2, 2)]
    boxes = boxes_of(12)
    boxes[0, :2] = 128, 96  # on the last corner
    assert framing_iou(boxes, grids, SIZE) == pytest.approx([slow_framing(box, grids) for box in boxes])
    assert (shape_iou_of(boxes, grids) >= framing_iou(boxes, grids, SIZE) - 1e-12).all()


def test_the_lesson_has_189_anchor_boxes():
    grids = lesson_grids(SIZE)
    assert sum(grid.count for grid in grids) == 189
    whole = np.array([[64, 48, 128, 96], [16, 12, 16, 24], [1, 1, 2, 2]], float)
    # by hand: the shape of the whole image; half of a cell of the grid of 4 x 4, in its middle; far too small
    assert framing_iou(whole, grids, SIZE)[:2] == pytest.approx([1, 1])
    assert framing_iou(whole, grids, SIZE)[2] < 0.05


def test_an_object_belongs_to_the_head_of_its_best_anchor():
    owner, which = responsible_heads(HEADS, np.array([(10, 12), (21, 28), (41, 36), (200, 150)], float))
    assert owner.tolist() == [1, 1, 0, 0] and which.tolist() == [0, 1, 2, 3]
    alone = (HeadAnchors(5, ANCHORS, (2, 3), 32),)
    assert responsible_heads(alone, np.array([(10, 12), (40, 36)], float))[0].tolist() == [-1, 0]


def test_one_prediction_cannot_be_two_objects():
    boxes = np.array([(20, 20, 10, 12), (24, 28, 11, 12), (20, 20, 20, 30), (40, 20, 10, 12), (20, 20, 10, 12)], float)
    images = np.array([0, 0, 0, 0, 1])
    owner, which = responsible_heads(HEADS, boxes[:, 2:])
    # the first two share cell (1, 1) of stride 16 and anchor 0; the third has another anchor; the last another image
    assert same_predictions(HEADS, boxes, images, owner, which) == 1
    assert same_cells(16, boxes, images) == 3


def test_small_objects_grow_with_the_network():
    found = smallness(np.array([(5, 5), (7, 20), (12, 3), (30, 30)], float), 8, (64, 96))
    assert [(each.width, each.height) for each in found] == [(96, 64), (128, 96), (160, 96), (192, 128)]
    assert [(each.objects, each.with_side) for each in found[:2]] == [(1, 3), (1, 2)]  # 5 * 96/64 = 7.5; 3 * 1.5 < 8
    assert (found[-1].objects, found[-1].with_side) == (0, 1)


def test_a_study_agrees_with_the_fit_of_anchors_and_adds_up():
    boxes = boxes_of(300)
    images, labels = np.arange(300) // 5, np.arange(300) % 3
    study = study_anchors(HEADS, SIZE, boxes, images, labels, ("a", "b", "c", "never"), 0.3, False)
    fit = fit_of(HEADS, boxes[:, 2:])
    assert (study.whole.recall, study.whole.mean_iou) == (fit.recall, fit.mean_iou)
    assert [(head.rows, head.columns) for head in study.heads] == [(3, 4), (6, 8)]
    assert [head.objects for head in study.heads] == pytest.approx([fraction * 300 for fraction in fit.fractions])
    assert [each.objects for each in study.by_class] == [100, 100, 100, 0] and study.by_class[3].recall is None
    for parts in (study.by_class, study.by_size):
        assert sum(each.objects for each in parts) == 300
        assert sum(each.objects * (each.recall or 0) for each in parts) == pytest.approx(300 * fit.recall)
    assert study.framings[0].boxes == 2 * (3 * 4) + 2 * (6 * 8)
    assert study.framings[0].by_shape == fit.recall > study.framings[0].at_centers
    ious = np.array([[float(np.minimum(a, b).prod() / (a.prod() + b.prod() - np.minimum(a, b).prod())) for a in ANCHORS]
                     for b in boxes[:, 2:]])  # fmt: skip
    assert study.more == pytest.approx(np.maximum((ious > 0.3).sum(axis=1) - 1, 0).mean())
    assert study.kmeans.recall > fit.recall - 0.05 and study.line.count(",  ") == 3


def test_the_sentence_about_small_objects_has_its_numbers_and_a_way_out():
    boxes = np.array([(20, 20, 5, 5), (50, 50, 14, 15), (60, 60, 40, 40), (90, 20, 11, 10)], float)
    study = study_anchors(HEADS, SIZE, boxes, np.arange(4), np.zeros(4, int), ("a",), 1.0, False)
    texts = [each.text for each in anchor_advice(study)]
    actions = {each.text: each.action for each in anchor_advice(study)}
    assert texts[0] == "3 of 4 objects are smaller than a cell of the finest head (16 x 16 pixels of 128 x 96)"
    # by hand: at 192 x 160 the three are 7.5 x 8.3, 21 x 25 and 16.5 x 16.7
    assert actions[texts[0]] == "show them larger: cut the images into tiles, or use a finer head"
    # four boxes and four anchors: k-means finds the boxes, by area
    assert (study.kmeans.recall, study.kmeans.mean_iou) == (1, 1) and study.line == "5,5,  11,10,  14,15,  40,40"
    one = study_anchors(HEADS, SIZE, boxes[:1], np.arange(1), np.zeros(1, int), ("a",), 1.0, False)
    fit = next(each.text for each in anchor_advice(one) if each.text.startswith("the cfg's anchors"))
    assert fit.endswith("; there are too few different boxes to compute better ones")
