"""yolo.explain.loss.taken_apart: the parts add up for every kind of head, and a tiny scene by hand."""

import math

import pytest
import torch

from tests.helpers.golden import network_of, targets_of
from tests.train.losses.test_terms import TWO_CELLS, VARIANTS, scene
from yolo.explain.loss.candidates import BEST, EXTRA, NO_HEAD, NOT, PREDICTED
from yolo.explain.loss.parts import batch_parts
from yolo.explain.loss.taken_apart import BACKGROUND, IGNORED, RESPONSIBLE, take_apart
from yolo.train.losses.detection import DetectionLoss

LN2 = math.log(2)
# two objects at the same place, one with a class that no head has
ROWS = [
    (0, 1, 0.3, 0.3, 0.3, 0.4),
    (0, 0, 0.31, 0.3, 0.25, 0.5),
    (0, 9, 0.6, 0.6, 0.3, 0.3),
    (0, 0, 0.8, 0.7, 0.5, 0.6),
]


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
@pytest.mark.parametrize("name", VARIANTS)
def test_heads_and_objects_add_up_to_the_total_of_the_loss(name, dialect, tmp_path):
    network, raw = scene(name, tmp_path)
    targets, loss = targets_of(ROWS), DetectionLoss(network, dialect)
    for image in (0, 1):
        maps = [map_[image : image + 1] for map_ in raw]
        for seen in (0, 10**6):
            torch.manual_seed(1)
            total = loss(maps, targets, seen).total.item()
            torch.manual_seed(1)
            apart = take_apart(loss, maps, targets, seen)
            assert apart.total == pytest.approx(total, rel=1e-5)
            assert sum(each.total for each in apart.heads) == pytest.approx(total, rel=1e-5)
            rest = sum(head.objectness_background + head.objectness_ignored + head.priors for head in apart.heads)
            if name != "classfix" or dialect == "pjreddie":  # there ignored cells learn classes too
                assert apart.of_no_object == pytest.approx(rest, rel=1e-5)
            for head in apart.heads:
                inside = head.objectness[head.kinds == RESPONSIBLE].sum()
                assert float(inside) == pytest.approx(head.objectness_object)
                assert float(head.objectness.sum()) == pytest.approx(
                    head.objectness_object + head.objectness_ignored + head.objectness_background
                )
                assert set(head.kinds.unique().tolist()) <= {BACKGROUND, IGNORED, RESPONSIBLE}
                assert torch.equal(head.owner == -1, head.kinds == BACKGROUND)
            assert not apart.objects[2].cells and apart.objects[2].why == "the heads have no class 9"
            for each in apart.objects:
                assert bool(each.why) != bool(each.cells)
                chosen = {(cell.head, cell.anchor): cell.why for cell in each.cells}
                assert {(one.head, one.anchor): one.why for one in each.candidates if one.why != NOT} == chosen
                ious = [one.iou for one in each.candidates]
                assert ious == sorted(ious, reverse=True)


def test_the_parts_of_images_and_targets_are_those_of_the_images_alone(tmp_path):
    network, raw = scene("two_yolo", tmp_path)
    rows = [(1, *row[1:]) for row in ROWS[:2]] + [(2, *ROWS[3][1:])]
    loss, targets = DetectionLoss(network), targets_of(rows)
    parts = batch_parts(loss.terms(raw, targets), len(rows))
    for image in range(len(raw[0])):
        mine = targets.image_index == image
        alone = targets._replace(
            image_index=targets.image_index[mine] * 0, labels=targets.labels[mine], boxes=targets.boxes[mine]
        )
        apart = take_apart(loss, [map_[image : image + 1] for map_ in raw], alone)
        assert parts.total[image].item() == pytest.approx(apart.total, rel=1e-5)
        assert parts.objectness_object[image].item() == pytest.approx(
            sum(h.objectness_object for h in apart.heads), rel=1e-5
        )
        outside = sum(head.objectness[head.kinds != RESPONSIBLE].sum().item() for head in apart.heads)
        assert parts.objectness_background[image].item() == pytest.approx(outside, rel=1e-5)
        for number, each in zip(torch.nonzero(mine)[:, 0].tolist(), apart.objects, strict=True):
            found = parts.target_box, parts.target_objectness, parts.target_classification
            expected = each.box_loss, each.objectness, each.classification
            assert [part[number].item() for part in found] == pytest.approx(expected, rel=1e-5)
            assert parts.cells[number] == len(each.cells)


# ------------------------------------------------------------------------------------------------------ by hand


def test_two_objects_in_one_cell_by_hand():
    """All raw values are 0. Both objects are in the left cell: its objectness and its classes are shared."""
    loss = DetectionLoss(network_of(TWO_CELLS))
    rows = [(0, 1, 0.25, 0.5, 0.25, 0.5), (0, 0, 0.25, 0.5, 0.25, 0.25)]
    apart = take_apart(loss, [torch.zeros(1, 7, 1, 2)], targets_of(rows))
    first, second = apart.objects
    assert first.cells[0].others == (1,) and second.cells[0].others == (0,)
    assert first.objectness == second.objectness == pytest.approx(LN2 / 2)
    assert first.classification == pytest.approx(LN2)  # both classes have the target 1, ln 2 each, shared by two
    assert dict(first.cells[0].box_parts) == pytest.approx(
        {"x": 0.75 * 1.875 * LN2, "y": 0.75 * 1.875 * LN2, "w": 0, "h": 0}
    )
    assert apart.of_no_object == pytest.approx(LN2)  # the right cell
    assert [each.candidates[0].iou for each in apart.objects] == pytest.approx([1, 0.5])
    assert first.cells[0].box_counts
    (last,) = (
        take_apart(DetectionLoss(network_of(TWO_CELLS), "pjreddie"), [torch.zeros(1, 7, 1, 2)], targets_of(rows))
        .objects[0]
        .cells
    )
    assert not last.box_counts and last.box == 0


ANCHORS = "[net]\nwidth=64\nheight=64\nchannels=14\n[maxpool]\nsize=1\nstride=32\n[yolo]\nclasses=2\nnum=3\nmask=0,2\n"


def test_anchors_are_chosen_by_shape_threshold_and_prediction_and_cells_ignored_by_their_prediction():
    """Anchors 16x16, 32x32 (in no mask) and 32x16; the object is 32x16 in the upper left cell, and so are two boxes."""
    text = ANCHORS + "anchors=16,16, 32,32, 32,16\niou_thresh=0.45\nignore_thresh=0.4\ntruth_thresh=1\n"
    raw = torch.full((1, 2, 7, 2, 2), -8.0)
    raw[:, :, :4] = 0  # boxes are the anchors in the middle of their cells
    raw[:, :, 5:] = 3  # some class, as AlexeyAB ignores only cells with one
    rows = [(0, 1, 0.25, 0.25, 0.5, 0.25)]
    (found,) = take_apart(DetectionLoss(network_of(text)), [raw.flatten(1, 2)], targets_of(rows)).objects
    # 16x16 in 32x16: 1/2; 32x16 in 32x32: 1/2
    assert [(each.anchor, each.head, each.why) for each in found.candidates] == [
        (2, 0, BEST),
        (0, 0, EXTRA),
        (1, NO_HEAD, NOT),
    ]
    assert [each.iou for each in found.candidates] == pytest.approx([1, 0.5, 0.5])
    assert found.ignored == 0  # both cells with a large IoU are responsible
    apart = take_apart(DetectionLoss(network_of(text.replace("0.45", "1"))), [raw.flatten(1, 2)], targets_of(rows))
    assert [cell.why for cell in apart.objects[0].cells] == [BEST] and apart.objects[0].ignored == 1
    (head,) = apart.heads
    assert head.kinds[0, 0, 0] == IGNORED and head.overlap[0, 0, 0] == pytest.approx(0.5) and head.owner[0, 0, 0] == 0
    assert head.kinds[1, 0, 0] == RESPONSIBLE and (head.kinds == BACKGROUND).sum() == 6
    assert head.objectness[0, 0, 0] == 0
    by_prediction = take_apart(
        DetectionLoss(network_of(text.replace("truth_thresh=1", "truth_thresh=.45"))),
        [raw.flatten(1, 2)],
        targets_of(rows),
    )
    whys = [(cell.anchor, cell.why) for cell in by_prediction.objects[0].cells]
    assert whys == [(0, PREDICTED), (2, PREDICTED), (2, BEST), (0, EXTRA)]
